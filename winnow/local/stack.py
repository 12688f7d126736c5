"""Winnow on one machine: Redis, Triton, the bloom sidecar and the transformer, each a process of its own."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType, TracebackType
from typing import NoReturn, Self

from tqdm import tqdm

from winnow import home
from winnow.errors import WinnowError
from winnow.local.first_answer import wait_until_whole
from winnow.local.infrastructure import Infrastructure, infrastructure
from winnow.local.processes import Process, ProcessFailed, http_ok, tail
from winnow.local.state import StackState, claim, running
from winnow.ports import LOOPBACK, Ports, reached_at
from winnow.release import Release

WATCH_SECONDS = 0.25
START_SECONDS = 120.0
WHOLE_SECONDS = 120.0
"""For the first answer with all its parts: caches and models warm up slowly on a busy machine."""

STOP_SECONDS = 60.0


class Stack:
    """A release, served: ready inside the ``with`` block, gone outside.

    Parts start in order, each once the one before is ready, and stop in reverse order. ``REDIS_URL`` and
    ``TRITON_URL`` (``host:port`` of its gRPC) in the environment take the place of the processes of that name.
    Inside the block SIGTERM and SIGHUP interrupt as Ctrl-C does. Use it in the main thread.
    """

    def __init__(
        self,
        release: int,
        ports: Ports,
        *,
        host: str = LOOPBACK,
        apart: Path | None = None,
        redis_url: str | None = None,
        show_progress: bool = True,
    ) -> None:
        """Describe the stack; nothing runs yet.

        Args:
            release: Number of the release.
            ports: Where the parts listen.
            host: The IPv4 address that HTTP and gRPC listen on; everything else listens on loopback, always.
            apart: Takes Redis' data, logs and state instead of this home, so that a stack of this home may run beside
                it; the environment's Redis and Triton are then left alone.
            redis_url: A running Redis, instead of the environment's or of one that is started.
            show_progress: Show a progress bar while the parts start.
        """
        self.release = release
        self.ports = ports
        self.host = host
        self._folder = apart or home.home()
        self._apart = apart is not None
        self._redis_url = redis_url or (None if self._apart else os.environ.get("REDIS_URL"))
        self._show_progress = show_progress
        self._processes: list[Process] = []

    def __enter__(self) -> Self:
        """Start everything.

        Raises:
            WinnowError: There is no such release, a port is in use, another stack runs in this home, a part did not
                become ready, or answers stay degraded.
        """
        release = Release.open(home.releases() / str(self.release))
        models = {name: [self.release] for name in release.manifest.models}
        state = StackState(os.getpid(), self.release, self.ports, ready=False, host=self.host)
        with ExitStack() as exits:
            exits.enter_context(_one_interrupt())
            claimed = exits.enter_context(claim(self._folder / "run"))
            claimed.write(state)
            self.ports.check_free(["http", "grpc"], self.host)
            self.ports.check_free(["sidecar"])
            bar = exits.enter_context(tqdm(total=5, disable=not self._show_progress, leave=False))
            bar.set_description("starting Redis and Triton")
            parts = exits.enter_context(
                infrastructure(
                    home.model_repository(self.release),
                    models,
                    ports=self.ports,
                    folder=self._folder,
                    redis_url=self._redis_url,
                    triton_url=None if self._apart else os.environ.get("TRITON_URL"),
                )
            )
            self._processes = list(parts.processes)
            bar.update()
            bar.set_description("publishing the release")
            _publish(release.folder, parts.redis_url, self._show_progress)
            for service in self._services(release.folder, parts):
                bar.update()
                bar.set_description(f"starting the {service.name}")
                self._processes.append(exits.enter_context(service))
            bar.update()
            bar.set_description("asking for a recommendation")
            wait_until_whole(release, self.ports.http, state.reached, self._logs, WHOLE_SECONDS, self._check)
            bar.close()
            claimed.write(replace(state, ready=True))
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._exits.__exit__(kind, error, traceback)

    def part(self, name: str) -> Process:
        """The process of that name, of those that were started here."""
        return next(process for process in self._processes if process.name == name)

    def wait(self) -> NoReturn:
        """Watch the parts until one stops by itself.

        Raises:
            ProcessFailed: One did; names it, its exit code and its log's last lines.
        """
        while True:
            self._check()
            time.sleep(WATCH_SECONDS)

    @property
    def _logs(self) -> Path:
        return self._folder / "run" / "logs"

    def _check(self) -> None:
        for process in self._processes:
            process.check()

    def _services(self, release: Path, parts: Infrastructure) -> Iterator[Process]:
        """Winnow's own servers, in the order in which they start."""
        ports, logs = self.ports, self._logs
        # -P: a folder in the working directory must not shadow an installed package. -u: a log shows what has happened.
        python = [sys.executable, "-P", "-u", "-m"]
        common = [f"--release-dir={release}"]
        # Whoever may list processes sees command lines, and the address may hold a password.
        environment = {**os.environ, "REDIS_URL": parts.redis_url}
        yield Process(
            "bloom sidecar",
            [*python, "bloom_sidecar", *common, f"--health-host={LOOPBACK}", f"--health-port={ports.sidecar}"],
            log=logs / "bloom_sidecar.log",
            environment=environment,
            ready=lambda: http_ok(ports.sidecar, "/ready"),
            timeout=START_SECONDS,
        )
        predictor = [f"--predictor_host={parts.triton}", "--predictor_protocol=grpc-v2"]
        listen = [f"--host={self.host}", f"--http_port={ports.http}", f"--grpc_port={ports.grpc}"]
        yield Process(
            "transformer",
            # Nobody balances load over one machine, so there is nobody to wait for when it stops.
            [*python, "recommender_transformer", *common, *predictor, *listen, "--drain-seconds=0"],
            log=logs / "recommender_transformer.log",
            environment=environment,
            ready=lambda: all(
                http_ok(ports.http, path, reached_at(self.host))
                for path in ("/v2/health/ready", "/v2/models/recommender/ready")
            ),
            timeout=START_SECONDS,
        )


def serve(release: int, ports: Ports, host: str) -> None:
    """Serve in the foreground until interrupted.

    Raises:
        WinnowError: The stack did not start, or a part stopped by itself.
    """
    try:
        with Stack(release, ports, host=host, show_progress=False) as stack:
            stack.wait()
    except KeyboardInterrupt:
        return


def detach(release: int, ports: Ports, host: str = LOOPBACK, *, show_progress: bool = True) -> StackState:
    """Serve in the background; returns once requests are answered.

    Args:
        release: Number of the release.
        ports: Where the parts listen.
        host: The IPv4 address that HTTP and gRPC listen on.
        show_progress: Show a progress bar while waiting.

    Raises:
        WinnowError: The stack did not start; the message is what it said.
    """
    log = home.run() / "logs" / "stack.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    # A session of its own, so that it outlives the terminal.
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-P", "-m", "winnow.local", host, str(release), *map(str, ports.numbers())],
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
                time.sleep(WATCH_SECONDS)
                bar.update()
        except KeyboardInterrupt:
            os.kill(pid, signal.SIGTERM)
            os.waitpid(pid, 0)
            raise


def down() -> StackState | None:
    """Stop this home's stack; returns what it was, or None where none ran.

    Raises:
        WinnowError: It did not stop.
    """
    state = running()
    if state is None:
        return None
    with suppress(ProcessLookupError):
        os.kill(state.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while running() is not None:
        if time.monotonic() > deadline:
            raise WinnowError(f"the stack (process {state.pid}) did not stop in {STOP_SECONDS:.0f} s; end it by hand")
        time.sleep(0.05)
    return state


def _publish(release: Path, url: str, show_progress: bool) -> None:
    # Only a stack that is started writes; those who ask for its state should not pay for loading this.
    from winnow.store.publish import publish

    publish(release, url, show_progress)


@contextmanager
def _one_interrupt() -> Iterator[None]:
    """SIGTERM and SIGHUP interrupt as Ctrl-C does, and only the first counts: stopping must not be interrupted."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
