"""The items of the whole catalog that match a filter, by popularity: computed once, then patched as items change."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from recommender_transformer.backends.catalog import Catalog
from winnow.arrays.membership import are_among
from winnow.filtering.filter import Filter

_HELD_BYTES = 64 << 20
"""Bytes of all lists together: those of some hundred filters over a million items, most of which match few."""

_AT_ONCE = 10_000
"""Items that are looked at in the event loop; more of them, in a thread."""

_MOST_CHANGES = 1000
"""Changed items up to which a list is patched; newly matching ones come last, so a list is made anew at times."""

_MOST_SCORED = 100_000
"""Items of which the product with a vector is computed at most: the most popular ones, some 20 ms in a thread."""

_THREADS = 2
"""Threads for the filters of all requests, so that costly ones wait for each other."""


T = TypeVar("T")


class HeldMatches(NamedTuple):
    """A list of matching items.

    Attributes:
        items: int32, the matching items of the release by popularity, then the others.
        changes: the columns' ``changes`` when it was computed.
        patched: items that were patched since it was computed as a whole.
    """

    items: NDArray[np.int32]
    changes: int
    patched: int


class Matches:
    """Finds the items that match a filter, and the best of them.

    Args:
        catalog: the items and their columns.
        popular: int32, item indices of the release by popularity.
    """

    def __init__(self, catalog: Catalog, popular: NDArray[np.int32]) -> None:
        self._catalog = catalog
        self._popular = popular
        self._held: LRUCache[str, HeldMatches] = LRUCache(_HELD_BYTES, getsizeof=lambda held: held.items.nbytes + 512)
        self._running: dict[str, asyncio.Task[HeldMatches]] = {}
        self._threads = ThreadPoolExecutor(_THREADS, "filter")

    def held(self, condition: Filter) -> NDArray[np.int32] | None:
        """The matching items, if they are known and no item has changed since."""
        held = self._held.get(condition.text)
        return held.items if held is not None and held.changes == self._catalog.columns.changes else None

    async def find(self, condition: Filter) -> NDArray[np.int32]:
        """The matching items: int32, those of the release by popularity first; requests for one filter share work."""
        text = condition.text
        task = self._running.get(text)
        if task is None:
            task = self._running[text] = asyncio.create_task(self._update(condition))
            task.add_done_callback(lambda _: self._running.pop(text))
        # A request that is cancelled or late leaves the work to the others and to the next request.
        return (await asyncio.shield(task)).items

    async def nearest(
        self, items: NDArray[np.int32], vector: NDArray[np.float32], count: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The items with the highest product of their vector and ``vector``: int32 and float32 [<= count], best first.

        Args:
            items: a list of :meth:`find`; the most popular 100,000 of a longer one count, and those that are not of
                the release.
            vector: float32 [D].
            count: length of the list at most.
        """
        work = partial(self._nearest, items, vector, count)
        return work() if len(items) <= _AT_ONCE else await self._in_thread(work)

    async def _update(self, condition: Filter) -> HeldMatches:
        columns, held = self._catalog.columns, self._held.get(condition.text)
        # What changes while a thread works is patched by the next request.
        changes = columns.changes
        changed = None if held is None else columns.changed_since(held.changes)
        if held is None or changed is None or held.patched + len(changed) > _MOST_CHANGES:
            work, size = partial(self._computed, condition, changes), columns.count
        else:
            work, size = partial(self._patched, condition, held, changed, changes), len(held.items)
        found = work() if size <= _AT_ONCE else await self._in_thread(work)
        if found.items.nbytes < _HELD_BYTES // 2:
            self._held[condition.text] = found
        return found

    def _computed(self, condition: Filter, changes: int) -> HeldMatches:
        mask = condition.matches(self._catalog.columns)
        by_popularity = self._popular[mask[self._popular]]
        mask[self._popular] = False
        return HeldMatches(np.concatenate([by_popularity, np.flatnonzero(mask).astype(np.int32)]), changes, 0)

    def _patched(self, condition: Filter, held: HeldMatches, changed: NDArray[np.int32], changes: int) -> HeldMatches:
        match = condition.mask(self._catalog.columns, changed)
        kept = held.items[~are_among(held.items, changed[~match])]
        more = changed[match]
        more = more[~are_among(more, kept)]
        return HeldMatches(np.concatenate([kept, more]), changes, held.patched + len(changed))

    def _nearest(
        self, items: NDArray[np.int32], vector: NDArray[np.float32], count: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        if len(items) > _MOST_SCORED:
            new_items = items[items > self._catalog.size]
            items = np.concatenate([items[:_MOST_SCORED][items[:_MOST_SCORED] <= self._catalog.size], new_items])
        products = self._catalog.vectors.take(items) @ vector
        if len(items) > count:
            best = np.argpartition(-products, count - 1)[:count]
            items, products = items[best], products[best]
        order = np.argsort(-products, kind="stable")
        return items[order], products[order].astype(np.float32, copy=False)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)
