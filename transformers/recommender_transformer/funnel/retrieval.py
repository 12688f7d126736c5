"""Retrieves the candidates of a query: sources, item hydrators and filters, then the backfill."""

import asyncio
from collections.abc import Coroutine, Sequence
from functools import partial
from inspect import iscoroutinefunction
from time import perf_counter
from types import CoroutineType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.components import Pipeline
from recommender_transformer.funnel.dependencies import dependency_order
from recommender_transformer.funnel.explanation import UNKNOWN
from recommender_transformer.funnel.fallbacks import Fallbacks
from recommender_transformer.funnel.query import Query
from recommender_transformer.funnel.stages import Backfill, Result, Source
from winnow.arrays.membership import are_among
from winnow.ranking.context import NOTHING, SourceList

_BACKFILL_BATCH = 512
"""Backfill items that are hydrated and filtered together."""


class Retrieval:
    """Runs the stages between the query hydrators and the scorers.

    Args:
        pipeline: the components.
        fallbacks: runs the components that have a fallback.

    Raises:
        ValueError: a source needs a source that the pipeline lacks, or sources need each other.
    """

    def __init__(self, pipeline: Pipeline, fallbacks: Fallbacks) -> None:
        self._pipeline = pipeline
        self._fallbacks = fallbacks
        self._direct, self._waiting = _by_waiting(dependency_order(pipeline.sources))
        self._only = pipeline.source_names.index(pipeline.only) if pipeline.only else None

    @property
    def none(self) -> Candidates:
        """No candidates."""
        return self._merge([NOTHING] * len(self._pipeline.source_names))

    async def candidates(self, query: Query) -> Candidates:
        """The candidates that passed every filter; backfilled if there are fewer than ``k``."""
        lists = await self._find(query)
        query.sources.lists, query.sources.columns = lists, self._pipeline.source_names
        merged = self._merge([lists.get(name, NOTHING) for name in self._pipeline.source_names])
        if self._only is not None:
            merged = merged.take(np.flatnonzero(merged.places[:, self._only] >= 0))
        kept = await self._filter(query, merged, query.request.k)
        backfill = self._pipeline.backfill
        if len(kept) >= query.request.k or backfill is None:
            return kept
        return await self._backfill(query, kept, backfill)

    async def _find(self, query: Query) -> dict[str, SourceList]:
        """The list of each enabled source; if several wait, they run concurrently, each in a task."""
        waiting = [source for source in self._waiting if source.enabled(query)]
        direct = [source for source in self._direct if source.enabled(query)]
        if len(waiting) == 1:
            return {source.name: await self._find_one(query, source, ()) for source in (*direct, *waiting)}
        tasks: dict[str, asyncio.Task[SourceList]] = {}
        for source in waiting:
            needed = [tasks[name] for name in source.needs if name in tasks]
            tasks[source.name] = asyncio.create_task(self._find_one(query, source, needed))
        found = {source.name: await self._find_one(query, source, ()) for source in direct}
        return found | dict(zip(tasks, await asyncio.gather(*tasks.values()), strict=True))

    async def _find_one(self, query: Query, source: Source, needed: Sequence[asyncio.Task[SourceList]]) -> SourceList:
        """A source's list, after the sources that it needs.

        If one of those did not answer, the source's fallback is used. That is not recorded as degraded again: only the
        source that failed is.
        """
        if needed:
            await asyncio.wait(needed)
        if not query.sources.answered.issuperset(source.needs):
            started, found = perf_counter(), source.fallback(query)
            query.trace.end_step("sources", source.name, started, 0, _size(found))
            return found
        work, fallback = partial(_answer, query, source), partial(source.fallback, query)
        return await self._fallbacks.attempt(query, "sources", source.name, work, fallback, size=_size)

    def _merge(self, lists: Sequence[SourceList]) -> Candidates:
        return Candidates.merge(lists, self._pipeline.row_dtype, len(self._pipeline.objectives.types))

    async def _filter(self, query: Query, candidates: Candidates, needed: int) -> Candidates:
        """The candidates that have a row and pass every filter; relaxable filters keep up to ``needed``."""
        query.trace.merged.append(candidates)
        if not len(candidates):
            return candidates
        passed = np.ones(len(candidates), dtype=np.bool_)
        for hydrator in self._pipeline.item_hydrators:
            work, fallback = partial(hydrator.hydrate, query, candidates), partial(hydrator.fallback, query, candidates)
            has_row = await self._fallbacks.attempt(
                query, "item_hydrators", hydrator.name, work, fallback, given=len(candidates)
            )
            query.trace.remove(UNKNOWN, candidates.items[passed > has_row])
            passed &= has_row
        remaining = int(np.count_nonzero(passed))
        for component in self._pipeline.filters:
            started = perf_counter()
            kept, count = component.keep(query, candidates), 0
            if kept is not None:
                removed = passed > kept
                count = int(np.count_nonzero(removed))
                if count and component.relaxable and (missing := needed - remaining + count) > 0:
                    # The first candidates that the filter would remove.
                    kept[np.flatnonzero(removed)[:missing]] = True
                    removed = passed > kept
                    count = int(np.count_nonzero(removed))
                if count:
                    query.trace.remove(component.name, candidates.items[removed])
                    passed &= kept
            query.trace.end_step("filters", component.name, started, remaining, remaining - count)
            remaining -= count
        return candidates if remaining == len(candidates) else candidates.take(passed.nonzero()[0])

    async def _backfill(self, query: Query, candidates: Candidates, backfill: Backfill) -> Candidates:
        """Add backfill items until there are ``k`` candidates, the backfill is exhausted, or the deadline has passed.

        Needed when sources failed, or when the user has seen or excluded nearly all of their items. Where a funnel has
        no source, the backfill is its list.
        """
        k = query.request.k
        no_lists = [NOTHING] * len(self._pipeline.sources)
        tried, count = query.trace.merged[0].items, 0
        matches = self._matches(query)
        for listed in backfill.items(query):
            part = listed if matches is None else listed[matches.take(listed, mode="clip")]
            for start in range(0, len(part), _BACKFILL_BATCH):
                batch = part[start : start + _BACKFILL_BATCH]
                if len(tried):
                    batch = batch[~are_among(batch, tried)]
                if not len(batch):
                    continue
                found = SourceList(batch, -np.arange(count, count + len(batch), dtype=np.float32))
                count += len(batch)
                merged = self._merge([*no_lists, found])
                candidates = Candidates.join(candidates, await self._filter(query, merged, k - len(candidates)))
                if len(candidates) >= k or query.remaining_s < 0:
                    return candidates
            tried = np.concatenate([tried, part])
        return candidates

    def _matches(self, query: Query) -> NDArray[np.bool_] | None:
        """Whether each item matches the request's conditions, by index; ``None`` without conditions."""
        items = query.matching.items
        if items is None:
            return None
        matches = np.zeros(self._pipeline.catalog.columns.count + 1, np.bool_)
        matches[items] = True
        return matches


def _answer(query: Query, source: Source) -> Result[SourceList]:
    found = source.find(query)
    if isinstance(found, CoroutineType):
        return _later(query, source, found)
    query.sources.answered.add(source.name)
    return found


async def _later(query: Query, source: Source, finding: Coroutine[Any, Any, SourceList]) -> SourceList:
    found = await finding
    query.sources.answered.add(source.name)
    return found


def _by_waiting(sources: Sequence[Source]) -> tuple[list[Source], list[Source]]:
    """The sources that run directly and those that run in tasks: with an ``async def``, or connected by ``needs``."""
    connected = {name for source in sources for name in (source.name, *source.needs) if source.needs}
    waits = [iscoroutinefunction(source.find) or source.name in connected for source in sources]
    return (
        [source for source, waiting in zip(sources, waits, strict=True) if not waiting],
        [source for source, waiting in zip(sources, waits, strict=True) if waiting],
    )


def _size(found: SourceList) -> int:
    return len(found.items)
