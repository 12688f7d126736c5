"""Runs a pipeline. Timing, deadlines, fallbacks and the trace live here once, for all components.

The stages run in three strides, which are KServe's ``preprocess``, ``predict`` and ``postprocess``. Each stage that
waits for somebody else must be done by its share of the deadline; what is not done by then is replaced by the
component's fallback, so the answer is never later than the deadline for want of a part. One that keeps failing is not
even asked for a moment.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from time import perf_counter
from typing import Any, TypeVar

import grpc.aio
import numpy as np
from numpy.typing import NDArray
from prometheus_client import Counter, Histogram

from recommender_transformer.backends.breaker import Breaker
from recommender_transformer.backends.online_store import UserState
from recommender_transformer.funnel.answers import recommended
from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.components import Pipeline
from recommender_transformer.funnel.dependencies import dependency_order
from recommender_transformer.funnel.explanation import UNKNOWN
from recommender_transformer.content.media_decoder import Content
from recommender_transformer.funnel.query import Query
from recommender_transformer.funnel.stages import Source
from recommender_transformer.funnel.trace import Step
from winnow.encoders.inputs import MODALITIES
from winnow.ranking.context import NOTHING, SourceList
from winnow.request import Answer, RecommendRequest
from winnow.store.connection import RedisError

log = logging.getLogger(__name__)

DEADLINE_MS = 200

SHARES = {"query_hydrators": 0.25, "sources": 0.6, "item_hydrators": 0.75, "scorers": 0.95}
"""By which share of the deadline a stage must be done."""

TIMED = ("query_hydrators", "sources", "item_hydrators", "filters", "scorers", "orderers")

_PATIENCE_S = 0.02
"""A part that had less time than this and did not answer says little about itself, and much about the deadline. So does
a time-out that comes so much too late about this process: the answer may have been there, and nobody to look."""

_TOP_UP = 512
"""Items of the reserve that are looked at together."""

_STAGE_SECONDS = Histogram(
    "winnow_stage_seconds",
    "Time of one component's turn.",
    ("stage", "component"),
    buckets=(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0),
)
_REQUEST_SECONDS = Histogram(
    "winnow_request_seconds",
    "From a recommendation's admission to its answer, by whether a part was missing.",
    ("degraded",),
    buckets=(0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0),
)
_WHOLE, _PARTIAL = _REQUEST_SECONDS.labels("no"), _REQUEST_SECONDS.labels("yes")
_DEGRADED = Counter("winnow_degraded_total", "Times a part was late or down and its fallback stood in.", ("component",))

T = TypeVar("T")


class Runner:
    """Takes queries through the stages of one pipeline.

    Args:
        pipeline: the components.
        stranger: the state of a user of whom nothing is known.
        deadline_ms: for requests that do not carry their own.

    Raises:
        ValueError: a source needs another that there is not, or that needs it.
    """

    def __init__(self, pipeline: Pipeline, stranger: UserState, deadline_ms: int = DEADLINE_MS) -> None:
        self._pipeline = pipeline
        self._stranger = stranger
        self._deadline_ms = deadline_ms
        self._sources = pipeline.source_names
        self._in_order = dependency_order(pipeline.sources)
        self._breakers = {
            component.name: Breaker(component.name) for stage in SHARES for component in getattr(pipeline, stage)
        }
        self._none = Candidates.merge([NOTHING] * len(self._sources), pipeline.row_dtype)
        self._seconds = {
            (stage, component.name): _STAGE_SECONDS.labels(stage, component.name)
            for stage in TIMED
            for component in getattr(pipeline, stage)
        }
        # There from the start at 0: a counter that appears with its first fault has no rate for it.
        for stage in SHARES:
            for component in getattr(pipeline, stage):
                _DEGRADED.labels(component.name)

    async def read(self, requests: Sequence[RecommendRequest]) -> list[Content]:
        """Decode what the requests of one call look for; their deadlines begin after this.

        Raises:
            InvalidRequest: something is broken, or the release has no encoder for it; the message names the field.
        """
        if all(request.query is None for request in requests):
            return [{}] * len(requests)
        read = self._pipeline.contents.read
        return await asyncio.gather(
            *(
                read(
                    {} if query is None else {name: getattr(query, name) for name in MODALITIES},
                    f"instances[{n}].query",
                )
                for n, query in enumerate(request.query for request in requests)
            )
        )

    def admit(
        self,
        request: RecommendRequest,
        request_id: str,
        where: str = "instances[0]",
        content: Content | None = None,
    ) -> Query:
        """Start a request on its way.

        Args:
            request: what is asked.
            request_id: the caller's id for it.
            where: begins the field's name in a message.
            content: what :meth:`read` made of its query.

        Raises:
            InvalidRequest: it asks for what this release does not have; the message names the field, after ``where``.
        """
        return Query(
            request=request,
            request_id=request_id,
            categories=self._pipeline.allowed.codes(request, where),
            deadline_s=(request.deadline_ms or self._deadline_ms) / 1000,
            state=self._stranger,
            candidates=self._none,
            content=content or {},
        )

    async def retrieve(self, query: Query) -> Query:
        """Query hydrators, sources, item hydrators and filters; and the reserve, where they left fewer than k."""
        pipeline = self._pipeline
        for hydrator in pipeline.query_hydrators:
            await self._attempt(
                query, "query_hydrators", hydrator.name, hydrator.hydrate(query), partial(hydrator.fallback, query)
            )
        turns: dict[str, asyncio.Task[SourceList]] = {}
        for source in self._in_order:
            if source.enabled(query):
                needed = [turns[name] for name in source.needs if name in turns]
                turns[source.name] = asyncio.create_task(self._turn(query, source, needed))
        query.found = dict(zip(turns, await asyncio.gather(*turns.values()), strict=True))
        found = [query.found.get(name, NOTHING) for name in self._sources]
        query.candidates = await self._winnow(query, Candidates.merge(found, pipeline.row_dtype))
        await self._top_up(query)
        return query

    async def score(self, query: Query) -> Query:
        """Scorers."""
        candidates = query.candidates
        for scorer in self._pipeline.scorers:
            if not scorer.enabled(query):
                continue
            work, fallback = scorer.score(query, candidates), partial(scorer.fallback, query, candidates)
            await self._attempt(query, "scorers", scorer.name, work, fallback, given=len(candidates))
        return query

    def answer(self, query: Query) -> Answer:
        """Orderers, then the answer; side effects take note of it."""
        ranked = query.candidates.take(np.argsort(-query.candidates.score, kind="stable"))
        query.trace.ranked = ranked
        chosen = ranked
        for orderer in self._pipeline.orderers:
            started = perf_counter()
            before = len(chosen)
            chosen = chosen.take(orderer.order(query, chosen))
            self._note(query, "orderers", orderer.name, started, before, len(chosen))
        chosen = chosen.take(np.arange(min(query.request.k, len(chosen))))
        answer = Answer(
            user_id=query.request.user_id,
            release=self._pipeline.release,
            request_id=query.request_id,
            items=recommended(chosen, self._pipeline.catalog, self._sources),
            degraded=query.trace.degraded,
        )
        if query.request.debug:
            answer["trace"] = self._pipeline.explainer.explain(query, chosen)
        for effect in self._pipeline.side_effects:
            effect.after(query, answer, chosen)
        # The histograms can wait until the answer has left.
        asyncio.get_running_loop().call_soon(self._observe, query, perf_counter() - query.started)
        return answer

    async def warm_up(self) -> None:
        """Open the connections with a stranger's request, so that the first caller does not wait for it."""
        await self.score(await self.retrieve(self.admit(RecommendRequest(user_id="warm-up"), "warm-up")))

    async def close(self) -> None:
        """Let the side effects finish what the last answers left them to do."""
        await asyncio.gather(*(effect.flush() for effect in self._pipeline.side_effects))

    async def recommend(self, query: Query) -> Answer:
        """All stages in a row: what evaluation and tests call."""
        return self.answer(await self.score(await self.retrieve(query)))

    async def _turn(self, query: Query, source: Source, needed: Sequence[asyncio.Task[SourceList]]) -> SourceList:
        """What a source finds, after those it needs; without them, its fallback, which no one is to blame for twice."""
        if needed:
            await asyncio.wait(needed)
        if not query.answered.issuperset(source.needs):
            started, found = perf_counter(), source.fallback(query)
            self._note(query, "sources", source.name, started, 0, _size(found))
            return found
        work, fallback = self._find(query, source), partial(source.fallback, query)
        return await self._attempt(query, "sources", source.name, work, fallback, size=_size)

    @staticmethod
    async def _find(query: Query, source: Source) -> SourceList:
        found = await source.find(query)
        query.answered.add(source.name)
        return found

    async def _winnow(self, query: Query, candidates: Candidates) -> Candidates:
        """Item hydrators, then filters."""
        query.trace.merged.append(candidates)
        if not len(candidates):
            return candidates
        stays = np.ones(len(candidates), dtype=np.bool_)
        for hydrator in self._pipeline.item_hydrators:
            work, fallback = hydrator.hydrate(query, candidates), partial(hydrator.fallback, query, candidates)
            known = await self._attempt(query, "item_hydrators", hydrator.name, work, fallback, given=len(candidates))
            query.trace.remove(UNKNOWN, candidates.items[stays & ~known])
            stays &= known
        for component in self._pipeline.filters:
            started = perf_counter()
            kept = component.keep(query, candidates)
            before = int(stays.sum())
            if component.relaxable:
                _give_way(kept, stays, query.request.k - len(query.candidates))
            query.trace.remove(component.name, candidates.items[stays & ~kept])
            stays &= kept
            self._note(query, "filters", component.name, started, before, int(stays.sum()))
        return candidates.take(np.flatnonzero(stays))

    async def _top_up(self, query: Query) -> None:
        """Fewer than k are left: the sources were down, or the user has met or excluded nearly all they named."""
        if len(query.candidates) >= query.request.k:
            return
        reserve = self._pipeline.reserve.items(query)
        reserve = reserve[~np.isin(reserve, query.trace.merged[0].items)]
        nothing = [NOTHING] * len(self._pipeline.sources)
        for start in range(0, len(reserve), _TOP_UP):
            chunk = reserve[start : start + _TOP_UP]
            found = SourceList(chunk, -np.arange(start, start + len(chunk), dtype=np.float32))
            more = await self._winnow(query, Candidates.merge([*nothing, found], self._pipeline.row_dtype))
            query.candidates = Candidates.join(query.candidates, more)
            if len(query.candidates) >= query.request.k or query.remaining_s < 0:
                return

    async def _attempt(
        self,
        query: Query,
        stage: str,
        component: str,
        work: Coroutine[Any, Any, T],
        fallback: Callable[[], T],
        given: int = 0,
        size: Callable[[T], int] | None = None,
    ) -> T:
        """The result of ``work``, or of ``fallback`` when it fails or is not there by its share of the deadline."""
        started = perf_counter()
        due = SHARES[stage] * query.deadline_s
        patience = query.started + due - started
        breaker = self._breakers[component]
        try:
            if not breaker.admits():
                work.close()
                raise _CircuitOpen
            async with asyncio.timeout(patience):
                result = await work
            breaker.succeeded()
        except _CircuitOpen:
            result = self._degrade(query, component, "circuit open", fallback)
        except TimeoutError:
            if perf_counter() - started - patience < _PATIENCE_S <= patience:
                breaker.failed()
            result = self._degrade(query, component, f"no answer within {due * 1000:.0f} ms", fallback)
        except grpc.aio.AioRpcError as error:
            breaker.failed()
            result = self._degrade(query, component, error.code().name, fallback)
        except (RedisError, OSError) as error:
            breaker.failed()
            result = self._degrade(query, component, type(error).__name__, fallback)
        except Exception as error:
            # A component's own bug must cost its part, not the answer; the log keeps the whole story.
            log.warning("%s failed", component, exc_info=error)
            result = self._degrade(query, component, type(error).__name__, fallback)
        self._note(query, stage, component, started, given, given if size is None else size(result))
        return result

    @staticmethod
    def _degrade(query: Query, component: str, reason: str, fallback: Callable[[], T]) -> T:
        _DEGRADED.labels(component).inc()
        query.trace.degraded.append(f"{component}: {reason}")
        return fallback()

    def _note(self, query: Query, stage: str, component: str, started: float, given: int, kept: int) -> None:
        query.trace.steps.append(Step(stage, component, started, (perf_counter() - started) * 1000, given, kept))

    def _observe(self, query: Query, seconds: float) -> None:
        (_PARTIAL if query.trace.degraded else _WHOLE).observe(seconds)
        for step in query.trace.steps:
            self._seconds[step.stage, step.component].observe(step.ms / 1000)


class _CircuitOpen(Exception):
    """The part is not asked."""


def _give_way(kept: NDArray[np.bool_], stays: NDArray[np.bool_], wanted: int) -> None:
    """Keep the first of those that a filter would remove, where fewer than are wanted would stay."""
    short = wanted - int(np.count_nonzero(stays & kept))
    if short > 0:
        kept[np.flatnonzero(stays & ~kept)[:short]] = True


def _size(found: SourceList) -> int:
    return len(found.items)
