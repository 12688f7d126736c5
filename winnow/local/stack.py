"""The stack on one machine: Redis, Triton, the Bloom sidecar, the transformer, the explorer and, for some, Milvus.

With an embedded predictor the transformer computes the models itself, without Triton. While it waits, the home's stack
follows the pin (:mod:`winnow.lifecycle.live`): it starts the chain of the release that was promoted beside the one that
serves, and moves the public ports once that gives whole recommendations. The release before it stays warm, so that a
rollback only moves the ports.
"""

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType, TracebackType
from typing import NoReturn, Self

from tqdm import tqdm

from winnow import home
from winnow.errors import WinnowError
from winnow.lifecycle import live
from winnow.lifecycle.live import Live
from winnow.local.chain import Chain, Surroundings
from winnow.local.infrastructure import Infrastructure, start_explorer, stores
from winnow.local.processes import Process, ProcessFailed
from winnow.local.stack_state import Predictor, StackState, claim
from winnow.milvus.collection import is_searched
from winnow.milvus.connection import URL, address
from winnow.ports import LOOPBACK, Ports
from winnow.release import Release, numbers

POLL_SECONDS = 0.1
WARM_SECONDS = 600.0
"""Time for which the release before the live one keeps running: its chain takes as much memory again."""


class _PinMoved(Exception):
    """The pin names another release than the one that is being started."""


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
        access: Path | None = None,
        explorer: bool = False,
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
            access: File of the access control, which is read again when it changes.
            explorer: Whether the explorer is served, too; its failure ends nothing else.
            show_progress: Show a progress bar while the parts start.
        """
        self.release = release
        self.ports = ports
        self.host = host
        self._embedded = predictor == "embedded"
        self._folder = state_dir or home.home()
        self._has_own_state = state_dir is not None
        self._redis_url = redis_url or (None if self._has_own_state else os.environ.get("REDIS_URL"))
        self._flags = [] if reuse_s is None else [f"--reuse-seconds={reuse_s:g}"]
        self._flags += [f"--explore={explore:g}"] if explore else []
        self._flags += [f"--experiments={self._folder / home.EXPERIMENTS}"] if experiments else []
        self._flags += [f"--access-file={access.resolve()}"] if access else []
        self._experiments = experiments
        self._explorer = explorer
        self._show_progress = show_progress
        self._servers: tuple[Process, ...] = ()
        self._warm: Chain | None = None
        self._warm_until = 0.0
        self._pin: Live | None = None

    def __enter__(self) -> Self:
        """Start all parts.

        Raises:
            WinnowError: The release does not exist, a port is in use, another stack runs in this home, a part did not
                become ready, or recommendations stay degraded.
        """
        release = Release.open(home.releases() / str(self.release))
        state = StackState(os.getpid(), self.release, self.ports, ready=False, host=self.host)
        if not self._has_own_state:
            self._pin = live.live(str(home.home()))
        with ExitStack() as exits:
            exits.enter_context(_one_interrupt())
            self._claim = exits.enter_context(claim(self._folder / "run"))
            self._write(state)
            if self._experiments:
                (self._folder / home.EXPERIMENTS).write_bytes(self._experiments.read_bytes())
            self.ports.check_free(["http", "grpc"], self.host)
            bar = exits.enter_context(tqdm(total=7, disable=not self._show_progress, leave=False))
            bar.set_description("starting Redis")
            parts = exits.enter_context(
                stores(
                    self.ports,
                    self._folder,
                    redis_url=self._redis_url,
                    needs_milvus=is_searched(release),
                    milvus_url=None if self._has_own_state or not os.environ.get(URL) else address(),
                )
            )
            self._parts, self._servers = parts, parts.processes
            triton_url = None if self._has_own_state or self._embedded else os.environ.get("TRITON_URL")
            self._around = Surroundings(
                self._folder,
                self.host,
                self.ports,
                parts.redis_url,
                parts.milvus_url,
                self._embedded,
                triton_url or None,
                tuple(self._flags),
            )
            self._chain = Chain(release, self._around)

            def say(step: str) -> None:
                bar.update()
                bar.set_description(step)

            beside = (self._folder, self.host, self.ports, parts.redis_url)
            explorer = start_explorer(exits, *beside) if self._explorer else None
            exits.callback(self._stop_chains)
            self._chain.start(lambda: _publish(release.folder, parts, self._show_progress), say, self._check_servers)
            self._chain.take()
            if explorer is not None:
                explorer.wait_until_ready()
            bar.close()
            self._write(replace(state, ready=True))
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._exits.__exit__(kind, error, traceback)

    def part(self, name: str) -> Process:
        """The process of that name, of the served release or shared, if this stack started it."""
        return next(process for process in (*self._servers, *self._chain.processes) if process.name == name)

    def wait(self) -> NoReturn:
        """Follow the home's pin until a part stops by itself.

        Raises:
            ProcessFailed: A part stopped; the message has its exit code and its log's last lines.
        """
        while True:
            self._check()
            if not self._has_own_state:
                self.follow()
            time.sleep(POLL_SECONDS)

    def follow(self) -> None:
        """Serve the release that the pin names, if the pin has moved since the last call.

        A release that does not become ready is refused: the pin goes back, and the state has the reason. The chain of
        the release before is ended when its time is over.

        Raises:
            ProcessFailed: A part of the served release stopped meanwhile.
        """
        if self._warm is not None and time.monotonic() > self._warm_until:
            self._cool()
        before = self._pin
        try:
            pin = live.live(str(home.home()))
        except WinnowError:
            # Unreadable: `winnow promote` says so.
            return
        if pin == before:
            return
        self._pin = pin
        if pin is None or pin.release == self.release:
            return
        try:
            self._move_to(pin)
        except _PinMoved:
            return
        except WinnowError as error:
            # If a part of the served release has stopped, that is the reason.
            self._check()
            live.restore(str(home.home()), before, pin)
            self._pin = before
            self._write(replace(self._state, refused=pin.since.isoformat(), reason=str(error)))

    def _move_to(self, pin: Live) -> None:
        """Serve the release that the pin names, and keep the one before it warm."""
        if self._warm is not None and self._warm.number == pin.release:
            chain = self._warm
            chain.take()
        else:
            chain = self._started(pin)
            try:
                chain.take()
            except WinnowError:
                chain.stop()
                raise
        before, self._chain, self._warm = self._chain, chain, None
        self.release = pin.release
        try:
            before.leave()
            self._warm, self._warm_until = before, time.monotonic() + WARM_SECONDS
        except ProcessFailed:
            before.stop()
        warm = None if self._warm is None else self._warm.number
        self._write(replace(self._state, release=self.release, ports=chain.ports, warm=warm, refused="", reason=""))

    def _started(self, pin: Live) -> Chain:
        """The chain of the release that the pin names, beside the one that serves."""
        # Never three chains.
        self._cool()
        release = Release.open(home.releases() / str(pin.release))
        if is_searched(release) and not self._parts.milvus_url:
            raise WinnowError(
                f"release {pin.release} is searched in Milvus, which this stack runs without: stop it with "
                f"`winnow down`, make the release live with `winnow promote {pin.release}`, and start the stack again"
            )

        def meanwhile() -> None:
            self._check()
            if live.live(str(home.home())) != pin:
                raise _PinMoved

        chain = Chain(release, self._around, beside=self._chain)
        chain.start(lambda: _publish(release.folder, self._parts, self._show_progress), lambda step: None, meanwhile)
        return chain

    def _cool(self) -> None:
        """End the chain of the release before the live one."""
        if self._warm is not None:
            self._warm.stop()
            self._warm = None
            self._write(replace(self._state, warm=None))

    def _stop_chains(self) -> None:
        for chain in (self._chain, self._warm):
            if chain is not None:
                chain.stop()

    def _write(self, state: StackState) -> None:
        self._state = state
        self._claim.write(state)

    def _check_servers(self) -> None:
        for process in self._servers:
            process.check()

    def _check(self) -> None:
        self._check_servers()
        self._chain.check()
        if self._warm is not None:
            try:
                self._warm.check()
            except ProcessFailed:
                self._cool()


@contextmanager
def beside(
    release: int, predictor: Predictor, *, reuse_s: float | None = None, show_progress: bool = True
) -> Iterator[Ports]:
    """Serve a release of the home beside whatever the home serves, on free ports and with a Redis of its own.

    Args:
        release: Number of the release.
        predictor: What computes the models.
        reuse_s: Age in seconds up to which an answer is reused; the transformer's default without it.
        show_progress: Show progress bars.

    Yields:
        The ports.

    Raises:
        WinnowError: The release cannot be served.
    """
    ports = Ports.free()
    with (
        tempfile.TemporaryDirectory(prefix="winnow-beside-") as folder,
        Stack(
            release, ports, predictor=predictor, state_dir=Path(folder), reuse_s=reuse_s, show_progress=show_progress
        ),
    ):
        yield ports


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
