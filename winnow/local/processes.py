"""One supervised child process: started, waited for until ready, watched, and stopped for certain."""

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from winnow.errors import WinnowError
from winnow.ports import LOOPBACK

TETHER = Path(__file__).with_name("parent_death_signal.py")
POLL_SECONDS = 0.05
TAIL_LINES = 20


class ProcessFailed(WinnowError):
    """A child process stopped by itself or never became ready; the message ends with its log's last lines."""


class Process:
    """A child process in its own group, used as a context manager: ready inside, gone outside.

    Nothing survives: leaving the context ends the whole group, and the kernel terminates the child when the thread
    that started it ends (so start children from the main thread).
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        ready: Callable[[], bool],
        environment: Mapping[str, str] | None = None,
        timeout: float = 60.0,
        grace: float = 10.0,
    ) -> None:
        """Describe a process; nothing runs yet.

        Args:
            name: What messages call it.
            command: The program and its arguments.
            log: File that takes its output; each start begins it anew.
            ready: Whether it answers; asked again and again while it starts.
            environment: Its whole environment (default: this process's own).
            timeout: Seconds it may take to become ready.
            grace: Seconds it may take to stop after SIGTERM, before SIGKILL.
        """
        self.name = name
        self.log = log
        self._command = [str(part) for part in command]
        self._ready = ready
        self._environment = environment
        self._timeout = timeout
        self._grace = grace
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
            self.wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The child's process id, which is its group's too."""
        if self._child is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._child.pid

    def start(self) -> None:
        """Start it without waiting."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            self._child = tethered(self._command, self._environment, stdout=log, stderr=subprocess.STDOUT)

    def wait_until_ready(self) -> None:
        """Wait until it answers.

        Raises:
            ProcessFailed: It stopped, or did not answer in time.
        """
        deadline = time.monotonic() + self._timeout
        while True:
            self.check()
            if self._ready():
                return
            if time.monotonic() > deadline:
                raise ProcessFailed(f"{self.name} was not ready after {self._timeout:.0f} s; {tail(self.log)}")
            time.sleep(POLL_SECONDS)

    def check(self) -> None:
        """Raise when it is no longer running.

        Raises:
            ProcessFailed: It stopped by itself.
        """
        code = None if self._child is None else self._child.poll()
        if code is not None:
            how = f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
            raise ProcessFailed(f"{self.name} stopped by itself ({how}); {tail(self.log)}")

    def stop(self) -> None:
        """End the child and its whole group: SIGTERM, then SIGKILL after the grace. Harmless when it is not running."""
        if self._child is not None:
            end_group(self._child, self._grace)
            self._child = None


def tethered(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    stdout: IO[bytes] | None = None,
    stderr: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start a command that leads a group of its own and gets SIGTERM when the thread that started it ends.

    Args:
        command: The program and its arguments.
        environment: Its whole environment (default: this process's own).
        stdout: Where its output goes (default: where this process's goes).
        stderr: The same for its errors.
    """
    # A session of its own: Ctrl-C in the terminal reaches only the parent, which stops its children in order.
    return subprocess.Popen(  # noqa: S603 (the command is the caller's own)
        [sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), *command],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    )


def end_group(child: subprocess.Popen[bytes], grace: float) -> None:
    """End a :func:`tethered` child and its whole group: SIGTERM, then SIGKILL after ``grace`` seconds."""
    if child.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            child.wait(grace)
    # What the child left behind, and the child itself where SIGTERM was not enough.
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def tail(log: Path) -> str:
    """The end of a log, as part of a message."""
    lines = log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
    return "\n".join([f"the end of {log}:", *lines]) if lines else f"{log} is empty"


def http_ok(port: int, path: str, host: str = LOOPBACK) -> bool:
    """Whether ``GET path`` on this machine answers 200."""
    # Not urllib: it would send the question through a proxy that the environment names.
    connection = http.client.HTTPConnection(host, port, timeout=1.0)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
