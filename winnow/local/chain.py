"""The processes of one release, a chain: Triton, the Bloom sidecar and the transformer.

A stack has one chain, or two while it moves from one release to another and for a time afterwards. Redis, Milvus and
the public ports are the stack's.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from winnow import home
from winnow.local import triton
from winnow.local.processes import Process, ProcessFailed, http_ok, tail
from winnow.local.readiness import wait_until_not_degraded
from winnow.milvus.connection import URL
from winnow.ports import LOOPBACK, Ports
from winnow.release import Release

START_SECONDS = 120.0
FIRST_ANSWER_SECONDS = 120.0
"""Time for the first recommendation that is not degraded: caches and models warm up slowly on a busy machine."""

MOVE_SECONDS = 30.0
"""Time to take or leave the public ports, which a working transformer does in under two seconds."""


@dataclass(frozen=True)
class Surroundings:
    """What the chains of a stack have in common.

    Attributes:
        folder: folder of logs and generated files.
        host: IPv4 address that HTTP and gRPC listen on.
        ports: ports of the stack.
        redis_url: address of Redis.
        milvus_url: address of Milvus; empty without one.
        embedded: whether the transformers compute the models.
        triton_url: ``host:port`` of a running Triton's gRPC, to use instead of starting one.
        flags: further flags of the transformers.
    """

    folder: Path
    host: str
    ports: Ports
    redis_url: str
    milvus_url: str
    embedded: bool
    triton_url: str | None
    flags: tuple[str, ...]


class Chain:
    """A chain, which is started, takes the public ports, leaves them, and is stopped."""

    def __init__(self, release: Release, around: Surroundings, beside: "Chain | None" = None) -> None:
        """Configure a chain without starting it.

        Args:
            release: the release.
            around: what it has in common with the stack's other chain.
            beside: the chain that runs already; this one uses other ports, logs and folders.
        """
        self.release = release
        self.number = release.manifest.number
        self.is_second: bool = beside is not None and not beside.is_second
        self.ports, free = around.ports, Ports.free()
        if self.is_second:
            own = ("triton_http", "triton_grpc", "triton_metrics", "sidecar")
            self.ports = replace(around.ports, **{name: getattr(free, name) for name in own})
        self._around = around
        # The stack's ports that nothing listens on yet count as free.
        self._standby = next(port for port in (free.http, *free.numbers()) if port not in around.ports.numbers())
        self._processes: list[Process] = []
        self._exits = ExitStack()

    @property
    def logs(self) -> Path:
        """The folder of the logs."""
        return self._around.folder / "run" / "logs" / ("second" if self.is_second else "")

    @property
    def processes(self) -> tuple[Process, ...]:
        """The running processes."""
        return tuple(self._processes)

    def start(self, publish: Callable[[], None], say: Callable[[str], None], meanwhile: Callable[[], None]) -> None:
        """Start the processes, each when the one before it is ready, until a recommendation is not degraded.

        Args:
            publish: publishes the release; called once its models are served.
            say: called with each step.
            meanwhile: called while a process starts; what it raises ends the start.

        Raises:
            WinnowError: a process did not become ready, or recommendations stay degraded; none is left running.
        """
        models = {name: [self.number] for name in self.release.manifest.models}
        repository = home.model_repository(self.number)
        with ExitStack() as exits:

            def run(process: Process) -> None:
                exits.callback(process.stop)
                process.start()
                process.wait_until_ready(meanwhile)
                self._processes.append(process)

            exits.callback(self._processes.clear)
            self.ports.check_free(["sidecar"])
            if self._around.embedded:
                triton.check_repository(repository, models)
            elif self._around.triton_url:
                triton.check(self._around.triton_url, repository, models)
            else:
                say("starting Triton")
                self.ports.check_free(["triton_http", "triton_grpc", "triton_metrics"])
                folder = self._around.folder / ("triton-second" if self.is_second else "triton")
                plain = exits.enter_context(triton.run_folder(folder))
                run(triton.server(repository, models, plain, ports=self.ports, log=self.logs / "triton.log"))
            say("publishing the release")
            publish()
            for service in self._services():
                say(f"starting the {service.name}")
                run(service)
            say("waiting for the first recommendation")

            def check() -> None:
                self.check()
                meanwhile()

            wait_until_not_degraded(self.release, self._standby, LOOPBACK, self.logs, FIRST_ANSWER_SECONDS, check)
            self._exits = exits.pop_all()

    def check(self) -> None:
        """Check that the processes are running.

        Raises:
            ProcessFailed: one stopped by itself.
        """
        for process in self._processes:
            process.check()

    def take(self) -> None:
        """Take the public ports: new connections come to this chain.

        Raises:
            ProcessFailed: the transformer does not listen on them.
        """
        self._move(signal.SIGUSR1, "take", listening=True)

    def leave(self) -> None:
        """Leave the public ports, which another chain has taken; returns when the clients have connected to that one.

        Raises:
            ProcessFailed: the transformer still listens on them.
        """
        self._move(signal.SIGUSR2, "leave", listening=False)

    def stop(self) -> None:
        """End the processes, in reverse order."""
        self._exits.close()

    def _move(self, number: int, word: str, listening: bool) -> None:
        transformer = self._processes[-1]
        os.kill(transformer.pid, number)
        deadline = time.monotonic() + MOVE_SECONDS
        while http_ok(self._standby, "/listening") != listening:
            transformer.check()
            if time.monotonic() > deadline:
                raise ProcessFailed(
                    f"the transformer of release {self.number} did not {word} ports {self.ports.http} and "
                    f"{self.ports.grpc} in {MOVE_SECONDS:.0f} s; {tail(transformer.log)}"
                )
            time.sleep(0.02)

    def _services(self) -> Iterator[Process]:
        """The sidecar and the transformer, in the order in which they start."""
        around, ports = self._around, self.ports
        # -P: a folder in the working directory must not shadow an installed package. -u: unbuffered logs.
        python = [sys.executable, "-P", "-u", "-m"]
        common = [f"--release-dir={self.release.folder}"]
        # Not on the command line, which other users can list: the address may contain a password.
        # NumPy's products are small here: further threads would spin for as long as the product takes.
        environment = {"OPENBLAS_NUM_THREADS": "1", **os.environ, "REDIS_URL": around.redis_url, URL: around.milvus_url}
        yield Process(
            "bloom sidecar",
            [*python, "bloom_sidecar", *common, f"--health-host={LOOPBACK}", f"--health-port={ports.sidecar}"],
            log=self.logs / "bloom_sidecar.log",
            environment=environment,
            ready=lambda: http_ok(ports.sidecar, "/ready"),
            timeout=START_SECONDS,
        )
        predictor = [
            f"--predictor_host={around.triton_url or f'{LOOPBACK}:{ports.triton_grpc}'}",
            "--predictor_protocol=grpc-v2",
        ]
        if around.embedded:
            predictor = [f"--model-repository={home.model_repository(self.number)}"]
        listen = [f"--host={around.host}", f"--http_port={ports.http}", f"--grpc_port={ports.grpc}"]
        yield Process(
            "transformer",
            # No load balancer needs time to notice that the transformer stops.
            [
                *python,
                "recommender_transformer",
                *common,
                *predictor,
                *listen,
                *around.flags,
                f"--standby-port={self._standby}",
                "--drain-seconds=0",
            ],
            log=self.logs / "recommender_transformer.log",
            environment=environment,
            ready=lambda: all(
                http_ok(self._standby, path) for path in ("/v2/health/ready", "/v2/models/recommender/ready")
            ),
            timeout=START_SECONDS,
        )
