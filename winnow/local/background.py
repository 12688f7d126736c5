"""The home's stack in the background: start it detached, run it there, stop it."""

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from tqdm import tqdm

from winnow import home
from winnow.errors import WinnowError
from winnow.lifecycle.live import Live
from winnow.local.processes import ProcessFailed, tail
from winnow.local.stack import POLL_SECONDS, Stack
from winnow.local.stack_state import Predictor, StackState, running
from winnow.ports import LOOPBACK, Ports

STOP_SECONDS = 60.0
FOLLOW_SECONDS = 3600.0
"""Time for a stack to move to another release: of a large one, publishing takes most of it."""

_FOLLOW_POLL_SECONDS = 0.05

_GONE_SECONDS = 1.0
"""Time after which a state that cannot be read means that the stack has ended: while it is written, it cannot be."""


def serve(
    release: int,
    ports: Ports,
    host: str,
    predictor: Predictor,
    explore: float,
    experiments: Path | None,
    access: Path | None,
    explorer: bool,
) -> None:
    """Serve a release in this process until it is interrupted.

    Raises:
        WinnowError: The stack did not start, or a part stopped by itself.
    """
    try:
        with Stack(
            release,
            ports,
            host=host,
            predictor=predictor,
            explore=explore,
            experiments=experiments,
            access=access,
            explorer=explorer,
            show_progress=False,
        ) as stack:
            stack.wait()
    except KeyboardInterrupt:
        return


def detach(
    release: int,
    ports: Ports,
    host: str = LOOPBACK,
    predictor: Predictor = "triton",
    explore: float = 0.0,
    experiments: Path | None = None,
    access: Path | None = None,
    *,
    explorer: bool = False,
    show_progress: bool = True,
) -> StackState:
    """Start a stack in the background, and return when it answers requests.

    Args:
        release: Number of the release.
        ports: Ports of the parts.
        host: IPv4 address that HTTP and gRPC listen on.
        predictor: What computes the models.
        explore: Share of the lists that are explored.
        experiments: File of the experiments.
        access: File of the access control.
        explorer: Whether the explorer is served, too.
        show_progress: Show the elapsed time while waiting.

    Raises:
        WinnowError: The stack did not start; the message ends with its log's last lines.
    """
    log = home.run() / "logs" / "stack.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    # A session of its own, so that the stack outlives the terminal.
    pid = os.posix_spawn(
        sys.executable,
        [
            *(sys.executable, "-P", "-m", "winnow.local", host, predictor, str(explore)),
            *(str(path or "") for path in (experiments, access)),
            "explorer" if explorer else "",
            *map(str, (release, *ports.numbers())),
        ],
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    with tqdm(desc="starting", bar_format="{desc} {elapsed}", disable=not show_progress, leave=False) as bar:
        try:
            while True:
                if os.waitpid(pid, os.WNOHANG) != (0, 0):
                    raise ProcessFailed(f"the stack did not start; {tail(log)}")
                state = running()
                if state and state.pid == pid and state.ready:
                    return state
                time.sleep(POLL_SECONDS)
                bar.update()
        except KeyboardInterrupt:
            os.kill(pid, signal.SIGTERM)
            os.waitpid(pid, 0)
            raise


def followed(pin: Live, *, show_progress: bool = True) -> StackState | None:
    """Wait until the home's stack serves the release that the pin names.

    Args:
        pin: The pin, which has been moved.
        show_progress: Show the elapsed time while waiting.

    Returns:
        The stack's state; ``None`` where no stack runs.

    Raises:
        WinnowError: The stack refused the release, and serves the one before; or it did not move in time.
    """
    seen = began = time.monotonic()
    with tqdm(
        desc=f"moving to release {pin.release}",
        bar_format="{desc} {elapsed}",
        disable=not show_progress,
        leave=False,
    ) as bar:
        while time.monotonic() < began + FOLLOW_SECONDS:
            state = running()
            if state is None:
                if time.monotonic() > seen + _GONE_SECONDS:
                    return None
            else:
                seen = time.monotonic()
                if state.ready and state.release == pin.release:
                    return state
                if state.refused == pin.since.isoformat():
                    raise WinnowError(f"release {state.release} stays live: {state.reason}")
            time.sleep(_FOLLOW_POLL_SECONDS)
            bar.update()
    raise WinnowError(
        f"release {pin.release} is live, but the stack did not move to it in {FOLLOW_SECONDS / 60:.0f} minutes: look "
        f"into {home.run() / 'logs'}"
    )


def down() -> StackState | None:
    """Stop this home's stack; returns its last state, or ``None`` if no stack was running.

    Raises:
        WinnowError: The stack did not stop in time.
    """
    state = running()
    if state is None:
        return None
    with suppress(ProcessLookupError):
        os.kill(state.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while running() is not None:
        if time.monotonic() > deadline:
            raise WinnowError(
                f"the stack (process {state.pid}) did not stop within {STOP_SECONDS:.0f} s; end it with "
                f"`kill -9 {state.pid}`"
            )
        time.sleep(0.05)
    return state
