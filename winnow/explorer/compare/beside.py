"""A release that is not live, served by processes of its own for comparisons: one at a time, and only while it is used.

The memory is that of those processes. They end :data:`IDLE_S` after the last comparison, when another release is
asked for, and with the explorer.
"""

import asyncio
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from winnow.client import AsyncWinnow
from winnow.errors import WinnowError
from winnow.explorer.base.stack import TIMEOUT_S
from winnow.ports import LOOPBACK

START_S = 300.0
"""Time for a release to answer: publishing a large one into its own Redis takes most of it."""

IDLE_S = 600.0
"""Time after the last comparison until the processes end."""

_STOP_S = 30.0
_LOOK_S = 1.0
_LOG_BYTES = 1 << 16


class Busy(WinnowError):
    """A release is being started already."""


@dataclass(frozen=True)
class Served:
    """The release.

    Attributes:
        release: its number.
        state: whether it starts, answers, or could not be started.
        since: when it was asked for, by the monotonic clock.
        winnow: client of its transformer, once it answers.
        fault: why it could not be started.
    """

    release: int
    state: Literal["starts", "answers", "failed"]
    since: float
    winnow: AsyncWinnow | None = None
    fault: str = ""

    @property
    def seconds(self) -> float:
        """For how long it has been starting."""
        return time.monotonic() - self.since


class Beside:
    """Starts and ends the processes of one release.

    Args:
        home: WINNOW_HOME.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._log = home / "run" / "explorer" / "beside.log"
        self._served: Served | None = None
        self._task: asyncio.Task[None] | None = None
        self._used = 0.0

    def served(self, release: int) -> Served | None:
        """The state of a release; ``None`` where it was not started, or has ended."""
        self._used = time.monotonic()
        found = self._served
        return found if found is not None and found.release == release else None

    async def start(self, release: int) -> None:
        """Start a release; the one before it is ended. Nothing changes where it starts or answers already.

        Raises:
            Busy: another one is being started.
        """
        before = self._served
        if before is not None and before.state == "starts" and before.release != release:
            raise Busy(f"Release {before.release} is being started: wait until it answers.")
        if before is not None and before.state != "failed" and before.release == release:
            return
        # Before anything is waited for, so that of two requests at once one is refused.
        self._used = time.monotonic()
        self._served = Served(release, "starts", self._used)
        self._task = asyncio.create_task(self._run(self._served, self._task))

    async def close(self) -> None:
        """End the processes."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self, starting: Served, before: "asyncio.Task[None] | None") -> None:
        """Serve a release until it is idle, ends by itself, or this is cancelled."""
        if before is not None:
            before.cancel()
            with suppress(asyncio.CancelledError):
                await before
        fault, left = "", None
        try:
            fault = await self._serve(starting)
        except OSError as error:
            fault = str(error)
        if fault:
            left = replace(starting, state="failed", fault=f"{fault} {self._said()}".strip())
        self._served = left

    async def _serve(self, starting: Served) -> str:
        """Run the processes; returns why they have ended too early, or nothing once they are idle."""
        process = await self._process(starting.release)
        assert process.stdout is not None
        winnow: AsyncWinnow | None = None
        try:
            async with asyncio.timeout(START_S):
                port = (await process.stdout.readline()).decode().strip()
            if not port.isdecimal():
                return "It could not be started."
            winnow = AsyncWinnow(f"http://{LOOPBACK}:{port}", timeout_s=TIMEOUT_S, retries=1)
            self._served = replace(starting, state="answers", winnow=winnow)
            ended = asyncio.ensure_future(process.wait())
            while time.monotonic() < self._used + IDLE_S:
                if (await asyncio.wait([ended], timeout=_LOOK_S))[0]:
                    return "It ended by itself."
            return ""
        except TimeoutError:
            return f"It did not answer within {START_S:.0f} s, and was stopped."
        finally:
            await asyncio.shield(_stopped(process))
            if winnow is not None:
                await winnow.close()

    async def _process(self, release: int) -> asyncio.subprocess.Process:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as log:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "winnow.explorer.compare", str(release)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**os.environ, "WINNOW_HOME": str(self._home)},
                start_new_session=True,
            )

    def _said(self) -> str:
        """The end of the log."""
        with suppress(OSError), self._log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _LOG_BYTES))
            return file.read().decode(errors="replace").strip()
        return ""


async def _stopped(process: asyncio.subprocess.Process) -> None:
    """End a process and, with it, those that it started: SIGTERM, then SIGKILL."""
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_STOP_S):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
