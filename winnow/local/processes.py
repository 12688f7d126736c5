"""Supervised child processes: start, wait until ready, check, and stop with their whole process group."""

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

_PARENT_DEATH_SIGNAL = Path(__file__).with_name("parent_death_signal.py")
POLL_SECONDS = 0.05
TAIL_LINES = 20


class ProcessFailed(WinnowError):
    """A child process stopped by itself or did not become ready; the message ends with its log's last lines."""


class Process:
    """A child process in its own process group, as a context manager: ready inside the block, stopped after it.

    Leaving the block ends the whole group. If this process dies, the kernel terminates the child; it does so when the
    thread that started the child ends, so start children from the main thread.
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
        """Configure a process without starting it.

        Args:
            name: Name of the process in messages.
            command: The program and its arguments.
            log: File for its output; truncated at each start.
            ready: Returns whether the process is ready; polled while it starts.
            environment: Its whole environment (default: this process's environment).
            timeout: Time to become ready, in seconds.
            grace: Time between SIGTERM and SIGKILL, in seconds.
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
        """Id of the child, and of its process group."""
        if self._child is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._child.pid

    def start(self) -> None:
        """Start the process without waiting until it is ready."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            self._child = spawn_child(self._command, self._environment, stdout=log, stderr=subprocess.STDOUT)

    def wait_until_ready(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Wait until the process is ready.

        Args:
            meanwhile: Called again and again; what it raises ends the wait.

        Raises:
            ProcessFailed: It stopped, or was not ready in time.
        """
        deadline = time.monotonic() + self._timeout
        while True:
            self.check()
            meanwhile()
            if self._ready():
                return
            if time.monotonic() > deadline:
                raise ProcessFailed(f"{self.name} was not ready after {self._timeout:.0f} s; {tail(self.log)}")
            time.sleep(POLL_SECONDS)

    def check(self) -> None:
        """Check that the process is running.

        Raises:
            ProcessFailed: It stopped by itself.
        """
        code = None if self._child is None else self._child.poll()
        if code is not None:
            how = f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
            raise ProcessFailed(f"{self.name} stopped by itself ({how}); {tail(self.log)}")

    def stop(self) -> None:
        """End the child and its group: SIGTERM, then SIGKILL after the grace time. Does nothing if none is running."""
        if self._child is not None:
            end_group(self._child, self._grace)
            self._child = None


def spawn_child(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    stdout: IO[bytes] | int | None = None,
    stderr: int | None = None,
    stdin: int = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Start a command in a process group of its own that receives SIGTERM when the calling thread ends.

    Args:
        command: The program and its arguments.
        environment: Its whole environment (default: this process's environment).
        stdout: File or file descriptor for its output (default: inherited).
        stderr: File descriptor for its errors (default: inherited).
        stdin: File descriptor of its input (default: none).
    """
    # A session of its own: Ctrl-C in the terminal signals only the parent, which stops its children in order.
    return subprocess.Popen(  # noqa: S603 (the caller's command)
        [sys.executable, "-I", "-S", str(_PARENT_DEATH_SIGNAL), str(os.getpid()), *command],
        env=environment,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    )


def end_group(child: subprocess.Popen[bytes], grace: float) -> None:
    """End a child of :func:`spawn_child` and its group: SIGTERM, then SIGKILL after ``grace`` seconds."""
    if child.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            child.wait(grace)
    # Descendants that outlived the child, and the child itself if SIGTERM did not end it.
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def tail(log: Path) -> str:
    """The last lines of a log, for a message."""
    lines = log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
    return "\n".join([f"the end of {log}:", *lines]) if lines else f"{log} is empty"


def http_ok(port: int, path: str, host: str = LOOPBACK) -> bool:
    """Whether ``GET path`` on this machine answers 200."""
    # Not urllib, which would use a proxy from the environment.
    connection = http.client.HTTPConnection(host, port, timeout=1.0)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
