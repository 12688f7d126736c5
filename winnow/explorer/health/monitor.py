"""Scrapes the processes in the background, often while the page is open, and keeps a short history."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
from starlette.concurrency import run_in_threadpool

from winnow.explorer.base.items import OpenedRelease
from winnow.explorer.base.settings import ExplorerSettings
from winnow.explorer.base.stack import Stack
from winnow.explorer.health.figures import Tick
from winnow.explorer.health.filters import FilterSample, sample
from winnow.explorer.health.scrape import Process, Scrape, scrape
from winnow.local import stack_state
from winnow.ports import LOOPBACK

INTERVAL_S = 5.0
"""Between two scrapes while the page is open."""

IDLE_S = 30.0
"""Between two scrapes while it is not: reading its metrics costs a process some milliseconds."""

_OPEN_S = 20.0
"""The page counts as open for so long after its last request."""

HISTORY_S = 900.0
_MOST = int(HISTORY_S / INTERVAL_S)
_FRESH_S = 60.0
"""The sample of filters is measured again after so long."""


class Monitor:
    """The metrics of a stack.

    Args:
        settings: of the explorer.
    """

    def __init__(self, settings: ExplorerSettings) -> None:
        self._settings = settings
        self._history: deque[Scrape] = deque(maxlen=_MOST)
        self._steps: deque[Tick] = deque(maxlen=_MOST)
        self._asked = -_OPEN_S
        self._opened = asyncio.Event()
        self._turn = asyncio.Lock()
        self._filters: tuple[float, int, FilterSample] | None = None
        self._http = httpx.AsyncClient()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Scrape until the block ends."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await self._http.aclose()

    async def history(self) -> tuple[list[Scrape], list[Tick]]:
        """The scrapes of the last minutes, the newest just made, and the figures between them."""
        self._asked = time.monotonic()
        self._opened.set()
        await self._scrape(INTERVAL_S - 1)
        since = self._asked - HISTORY_S
        return [each for each in self._history if each.at > since], [each for each in self._steps if each.at > since]

    def processes(self) -> list[Process]:
        """Those whose metrics are read: the transformer's, and the given ones or the running stack's sidecar."""
        given = [Process(f"process {number}", url) for number, url in enumerate(self._settings.metrics, 1)]
        state = None if given else stack_state.running()
        if state is not None:
            given = [Process("sidecar", f"http://{LOOPBACK}:{state.ports.sidecar}/metrics")]
        return [Process("transformer", f"{self._settings.transformer}/metrics"), *given]

    async def filters(self, stack: Stack, release: OpenedRelease) -> FilterSample:
        """What a sample of the seen filters does, measured in the last minute.

        Raises:
            RedisError: Redis does not answer.
        """
        async with self._turn:
            held = self._filters
            if held is None or held[1] != release.number or time.monotonic() - held[0] > _FRESH_S:
                self._filters = held = (time.monotonic(), release.number, await sample(stack, release))
            return held[2]

    async def _run(self) -> None:
        while True:
            await self._scrape(INTERVAL_S - 1)
            if time.monotonic() - self._asked < _OPEN_S:
                await asyncio.sleep(INTERVAL_S)
                continue
            self._opened.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._opened.wait(), IDLE_S)

    async def _scrape(self, least: float) -> None:
        """Scrape, unless the last one is younger than ``least`` seconds."""
        async with self._turn:
            if self._age() >= least:
                processes = await run_in_threadpool(self.processes)
                made = await scrape(self._http, processes)
                if self._history:
                    self._steps.append(Tick.of(self._history[-1], made))
                self._history.append(made)

    def _age(self) -> float:
        return time.monotonic() - self._history[-1].at if self._history else float("inf")
