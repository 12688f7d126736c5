"""The state file of the home's stack: ``run/stack.json``, locked by the stack while it runs.

A stack is running if the file is locked; the content only describes it. The kernel releases the lock however the stack
ends, so the file of a killed stack is never mistaken for a running one, and no reused process id is trusted.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Literal

from winnow import home
from winnow.home import held, taken
from winnow.ports import LOOPBACK, Ports, reached_at

Predictor = Literal["triton", "embedded"]
"""What computes the models: Triton, or ONNX Runtime in the transformer's process, with the same graphs."""

LOCK_SECONDS = 1.0
"""Time-out of the lock: a process that reads the state holds it for an instant, too."""


@dataclass(frozen=True)
class StackState:
    """A running stack.

    Attributes:
        pid: Id of the supervising process; SIGTERM stops the whole stack.
        release: Number of the served release.
        ports: Ports of its parts.
        ready: Whether it answers requests.
        host: Address that HTTP and gRPC listen on.
        warm: The release that was served before and still runs, to go back to at once; ``None`` without one.
        refused: The promotion, by the time at which the pin moved, that the stack did not follow; empty without one.
        reason: Why it did not.
    """

    pid: int
    release: int
    ports: Ports
    ready: bool
    host: str = LOOPBACK
    warm: int | None = None
    refused: str = ""
    reason: str = ""

    @property
    def reached(self) -> str:
        """The address at which this machine reaches HTTP and gRPC."""
        return reached_at(self.host)


class Claim:
    """The lock on the state file, held by the running stack."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, state: StackState) -> None:
        """Write the description that :func:`running` returns."""
        self._file.seek(0)
        self._file.truncate()
        json.dump(asdict(state), self._file)
        self._file.flush()


@contextmanager
def claim(run: Path | None = None) -> Iterator[Claim]:
    """Lock the state file of this home, or of another ``run`` folder.

    Raises:
        WinnowError: Another stack holds the lock.
    """
    refusal = (
        f"a stack runs already in {home.home()}; stop it with `winnow down`, or give the second one a home "
        "(WINNOW_HOME) and ports (--port-base) of its own"
    )
    with held((run or home.run()) / "stack.json", refusal, LOCK_SECONDS) as file:
        file.truncate(0)
        try:
            yield Claim(file)
        finally:
            file.truncate(0)


def running(run: Path | None = None) -> StackState | None:
    """The stack that runs in this home, or by another ``run`` folder; ``None`` without one."""
    try:
        file = ((run or home.run()) / "stack.json").open()
    except FileNotFoundError:
        return None
    with file:
        if taken(file, shared=True):
            return None
        try:
            state = json.load(file)
        except json.JSONDecodeError:
            # The stack is just starting or stopping.
            return None
    return StackState(**state | {"ports": Ports(**state["ports"])})
