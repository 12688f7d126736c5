"""Which stack runs in this home: ``run/stack.json``, locked by the stack for as long as it lives.

The lock is the truth and the content a description: the kernel drops the lock however the stack ends, so what a
killed one left behind is never taken for a running one, and no process id is ever trusted that might be reused.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from winnow import home
from winnow.home import held, taken
from winnow.ports import LOOPBACK, Ports, reached_at

# Somebody who only looks holds the lock too, for an instant.
PATIENCE_SECONDS = 1.0


@dataclass(frozen=True)
class StackState:
    """A running stack.

    Attributes:
        pid: Process that supervises it; SIGTERM stops everything.
        release: The release it serves.
        ports: Where its parts listen.
        ready: Whether it answers requests yet.
        host: The address that its HTTP and gRPC listen on.
    """

    pid: int
    release: int
    ports: Ports
    ready: bool
    host: str = LOOPBACK

    @property
    def reached(self) -> str:
        """The address at which this machine asks it."""
        return reached_at(self.host)


class Claim:
    """The right to be this home's stack."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, state: StackState) -> None:
        """Describe the stack to everybody else."""
        self._file.seek(0)
        self._file.truncate()
        json.dump(asdict(state), self._file)
        self._file.flush()


@contextmanager
def claim(run: Path | None = None) -> Iterator[Claim]:
    """Become this home's stack, or that of another ``run`` folder.

    Raises:
        WinnowError: Another one runs.
    """
    refusal = (
        f"a stack runs already in {home.home()}; stop it with `winnow down`, or give the second one a home "
        "(WINNOW_HOME) and ports (--port-base) of its own"
    )
    with held((run or home.run()) / "stack.json", refusal, PATIENCE_SECONDS) as file:
        file.truncate(0)
        try:
            yield Claim(file)
        finally:
            file.truncate(0)


def running() -> StackState | None:
    """The stack that runs in this home, if any."""
    try:
        file = (home.run() / "stack.json").open()
    except FileNotFoundError:
        return None
    with file:
        if taken(file, shared=True):
            return None
        try:
            state = json.load(file)
        except json.JSONDecodeError:
            # It has only just begun, or is all but gone.
            return None
    return StackState(**state | {"ports": Ports(**state["ports"])})
