"""The stack on one machine: Redis, Triton, the Bloom sidecar, the transformer and, for some releases, Milvus.

With an embedded predictor the transformer computes the models itself, without Triton.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType, TracebackType
from typing import NoReturn, Self

from tqdm import tqdm

from winnow import home
from winnow.local.infrastructure import Infrastructure, infrastructure
from winnow.local.predictor import Predictor
from winnow.local.processes import Process, http_ok
from winnow.local.readiness import wait_until_not_degraded
from winnow.local.stack_state import StackState, claim
from winnow.milvus.collection import is_searched
from winnow.milvus.connection import URL, address
from winnow.ports import LOOPBACK, Ports, reached_at
from winnow.release import Release, numbers

POLL_SECONDS = 0.25
START_SECONDS = 120.0
FIRST_ANSWER_SECONDS = 120.0
"""Time for the first recommendation that is not degraded: caches and models warm up slowly on a busy machine."""


class Stack:
    """Serves a release, as a context manager: ready inside the block, stopped after it.

    The parts start in order, each when the one before it is ready, and stop in reverse order. If the environment has
    ``REDIS_URL``, ``TRITON_URL`` (``host:port`` of its gRPC) or ``MILVUS_URL``, that server is used instead of
    starting one. Inside the block, SIGTERM and SIGHUP raise ``KeyboardInterrupt`` as Ctrl-C does. Use it in the main
    thread.
    """

    def __init__(
        self,
        release: int,
        ports: Ports,
        *,
        host: str = LOOPBACK,
        predictor: Predictor = "triton",
        state_dir: Path | None = None,
        redis_url: str | None = None,
        reuse_s: float | None = None,
        explore: float = 0.0,
        experiments: Path | None = None,
        show_progress: bool = True,
    ) -> None:
        """Configure the stack without starting it.

        Args:
            release: Number of the release.
            ports: Ports of the parts.
            host: IPv4 address that HTTP and gRPC listen on; all other ports listen on loopback.
            predictor: What computes the models; with ``embedded``, ``TRITON_URL`` is ignored.
            state_dir: Folder for Redis' data, logs and state instead of the home, so that the stack can run beside the
                home's; the addresses of the environment are then ignored.
            redis_url: Address of a running Redis, which takes precedence over ``REDIS_URL``.
            reuse_s: Age in seconds up to which an answer is reused; the transformer's default without it.
            explore: Share of the lists that are explored.
            experiments: File of the experiments, of which a copy is kept and served.
            show_progress: Show a progress bar while the parts start.
        """
        self.release = release
        self.ports = ports
        self.host = host
        self._embedded = predictor == "embedded"
        self._folder = state_dir or home.home()
        self._has_own_state = state_dir is not None
        self._redis_url = redis_url or (None if self._has_own_state else os.environ.get("REDIS_URL"))
        self._settings = [] if reuse_s is None else [f"--reuse-seconds={reuse_s:g}"]
        self._settings += [f"--explore={explore:g}"] if explore else []
        self._settings += [f"--experiments={self._folder / home.EXPERIMENTS}"] if experiments else []
        self._experiments = experiments
        self._show_progress = show_progress
        self._processes: list[Process] = []

    def __enter__(self) -> Self:
        """Start all parts.

        Raises:
            WinnowError: The release does not exist, a port is in use, another stack runs in this home, a part did not
                become ready, or recommendations stay degraded.
        """
        release = Release.open(home.releases() / str(self.release))
        models = {name: [self.release] for name in release.manifest.models}
        state = StackState(os.getpid(), self.release, self.ports, ready=False, host=self.host)
        with ExitStack() as exits:
            exits.enter_context(_one_interrupt())
            claimed = exits.enter_context(claim(self._folder / "run"))
            claimed.write(state)
            if self._experiments:
                (self._folder / home.EXPERIMENTS).write_bytes(self._experiments.read_bytes())
            self.ports.check_free(["http", "grpc"], self.host)
            self.ports.check_free(["sidecar"])
            bar = exits.enter_context(tqdm(total=5, disable=not self._show_progress, leave=False))
            bar.set_description("starting Redis" if self._embedded else "starting Redis and Triton")
            parts = exits.enter_context(
                infrastructure(
                    home.model_repository(self.release),
                    models,
                    ports=self.ports,
                    folder=self._folder,
                    redis_url=self._redis_url,
                    triton_url=None if self._has_own_state else os.environ.get("TRITON_URL"),
                    needs_triton=not self._embedded,
                    needs_milvus=is_searched(release),
                    milvus_url=None if self._has_own_state or not os.environ.get(URL) else address(),
                )
            )
            self._processes = list(parts.processes)
            bar.update()
            bar.set_description("publishing the release")
            _publish(release.folder, parts, self._show_progress)
            for service in self._services(release.folder, parts):
                bar.update()
                bar.set_description(f"starting the {service.name}")
                self._processes.append(exits.enter_context(service))
            bar.update()
            bar.set_description("waiting for the first recommendation")
            wait_until_not_degraded(
                release, self.ports.http, state.reached, self._logs, FIRST_ANSWER_SECONDS, self._check
            )
            bar.close()
            claimed.write(replace(state, ready=True))
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._exits.__exit__(kind, error, traceback)

    def part(self, name: str) -> Process:
        """The process of that name, if this stack started it."""
        return next(process for process in self._processes if process.name == name)

    def wait(self) -> NoReturn:
        """Wait until a part stops by itself.

        Raises:
            ProcessFailed: A part stopped; the message has its exit code and its log's last lines.
        """
        while True:
            self._check()
            time.sleep(POLL_SECONDS)

    @property
    def _logs(self) -> Path:
        return self._folder / "run" / "logs"

    def _check(self) -> None:
        for process in self._processes:
            process.check()

    def _services(self, release: Path, parts: Infrastructure) -> Iterator[Process]:
        """The sidecar and the transformer, in the order in which they start."""
        ports, logs = self.ports, self._logs
        # -P: a folder in the working directory must not shadow an installed package. -u: unbuffered logs.
        python = [sys.executable, "-P", "-u", "-m"]
        common = [f"--release-dir={release}"]
        # Not on the command line, which other users can list: the address may contain a password.
        environment = {**os.environ, "REDIS_URL": parts.redis_url, URL: parts.milvus_url}
        yield Process(
            "bloom sidecar",
            [*python, "bloom_sidecar", *common, f"--health-host={LOOPBACK}", f"--health-port={ports.sidecar}"],
            log=logs / "bloom_sidecar.log",
            environment=environment,
            ready=lambda: http_ok(ports.sidecar, "/ready"),
            timeout=START_SECONDS,
        )
        predictor = [f"--predictor_host={parts.triton}", "--predictor_protocol=grpc-v2"]
        if self._embedded:
            predictor = [f"--model-repository={home.model_repository(self.release)}"]
        listen = [f"--host={self.host}", f"--http_port={ports.http}", f"--grpc_port={ports.grpc}"]
        yield Process(
            "transformer",
            # No load balancer needs time to notice that the transformer stops.
            [*python, "recommender_transformer", *common, *predictor, *listen, *self._settings, "--drain-seconds=0"],
            log=logs / "recommender_transformer.log",
            environment=environment,
            ready=lambda: all(
                http_ok(ports.http, path, reached_at(self.host))
                for path in ("/v2/health/ready", "/v2/models/recommender/ready")
            ),
            timeout=START_SECONDS,
        )


def _publish(release: Path, parts: Infrastructure, show_progress: bool) -> None:
    # Imported here: `winnow down` and others import this module without publishing.
    from winnow.milvus import publish as milvus
    from winnow.store.publish import publish

    publish(release, parts.redis_url, show_progress)
    if parts.milvus_url:
        if any(process.name == "milvus" for process in parts.processes):
            # The Milvus of a home holds its releases alone, so that one whose folder was removed leaves nothing behind.
            milvus.drop_others(parts.milvus_url, numbers(home.releases()))
        milvus.publish(release, parts.milvus_url, show_progress)


@contextmanager
def _one_interrupt() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into Ctrl-C, and ignore all signals after the first: they must not interrupt the stop."""
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
