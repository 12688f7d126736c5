"""Takes requests through the funnel.

The stages run in three calls, which are KServe's ``preprocess``, ``predict`` and ``postprocess``: ``retrieve``,
``score`` and ``answer``. Candidate retrieval is in ``funnel.retrieval``; deadlines, circuit breakers and fallbacks are
in ``funnel.fallbacks``.
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from random import random
from time import monotonic, perf_counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.online_store import UserState
from recommender_transformer.content.media_decoder import DecodedContent
from recommender_transformer.funnel.answers import left_out, recommended
from recommender_transformer.funnel.business.query_rules import QueryRules
from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.components import Pipeline
from recommender_transformer.funnel.fallbacks import Fallbacks
from recommender_transformer.funnel.forms.asked import Asked, FunnelName
from recommender_transformer.funnel.matching.wanted import Wanted
from recommender_transformer.funnel.pages.page import Page, marks
from recommender_transformer.funnel.query import Exploration, Query, User
from recommender_transformer.funnel.retrieval import Retrieval
from recommender_transformer.funnel.stage_metrics import StageMetrics
from winnow.encoders.inputs import MODALITIES
from winnow.request import Answer, RecommendRequest
from winnow.schema import Repeats

DEADLINE_MS = 200


class _Read(NamedTuple):
    """A request, and what it names in the terms of the release; see :class:`Query`."""

    request: RecommendRequest
    page: Page
    rules: QueryRules | None
    asked: Asked
    categories: NDArray[np.int32] | None
    wanted: Wanted | None


class Runner:
    """Runs the components of one pipeline.

    Args:
        pipeline: the components.
        cold_start_state: the state of a user without any data.
        deadline_ms: the deadline of requests that have none.

    Raises:
        ValueError: a source needs a source that the pipeline lacks, or sources need each other.
    """

    def __init__(self, pipeline: Pipeline, cold_start_state: UserState, deadline_ms: int = DEADLINE_MS) -> None:
        self._pipeline = pipeline
        self._cold_start_state = cold_start_state
        self._deadline_ms = deadline_ms
        self._fallbacks = Fallbacks(pipeline)
        self._funnels: dict[FunnelName, Pipeline] = {"plain": pipeline, **pipeline.forms}
        self._retrieval = {name: Retrieval(funnel, self._fallbacks) for name, funnel in self._funnels.items()}
        self._metrics = StageMetrics(pipeline)

    def whole(self, request: RecommendRequest, where: str) -> RecommendRequest:
        """A request with the fields of the first page, where it asks for a further one.

        Raises:
            InvalidRequest: there is no such page.
        """
        return self._pipeline.ids.read(request, where)[0]

    async def admit(
        self, requests: Sequence[RecommendRequest], request_id: str, carrier: Mapping[str, str] | None = None
    ) -> list[Query]:
        """Turn the requests of one call into queries. Their deadlines begin once all content is decoded.

        Args:
            requests: the validated requests.
            request_id: id of the call; the queries of a call with several requests get the suffixes ``-0``, ``-1``, …
            carrier: W3C trace headers of the call.

        Raises:
            InvalidRequest: content cannot be decoded, a filter cannot be read, there is no such page, the release lacks
                an encoder, category, column, event type or item that a request names, or the rules in force a filter;
                the message names the field.
        """
        read = [self._read(request, f"instances[{n}]") for n, request in enumerate(requests)]
        contents = await self._decode([one.request for one in read])
        several = len(requests) > 1
        queries = [
            self._query(one, f"{request_id}-{n}" if several else request_id, content, carrier or {})
            for n, (one, content) in enumerate(zip(read, contents, strict=True))
        ]
        if degraded := self._pipeline.rules.degraded:
            for query in queries:
                query.trace.degraded.append(f"rules: {degraded}")
        return queries

    def _read(self, request: RecommendRequest, where: str) -> _Read:
        """What a request names, in the terms of the release; ``where`` is its path in the call, for messages."""
        pipeline = self._pipeline
        request, page = pipeline.ids.read(request, where)
        pipeline.objectives.check(request, where)
        rules = pipeline.rules.of(request, where, page.first)
        return _Read(
            request,
            page,
            rules,
            asked=pipeline.reader.read(request, where),
            categories=pipeline.categories.codes(request, where),
            wanted=pipeline.wanted.of(request, where, {} if rules is None else rules.filters),
        )

    def _query(self, read: _Read, request_id: str, content: DecodedContent, carrier: Mapping[str, str]) -> Query:
        """The query of a request, whose deadline begins now."""
        request, arms = self._assign(read.request)
        return Query(
            request=request,
            request_id=request_id,
            categories=read.categories,
            repeats=request.repeats or self._repeats(read.asked),
            wanted=read.wanted,
            weights=self._pipeline.objectives.weights(request),
            deadline_s=(request.deadline_ms or self._deadline_ms) / 1000,
            user=User(self._cold_start_state),
            page=read.page,
            asked=read.asked,
            rules=read.rules,
            content=content,
            carrier=carrier,
            arms=arms,
            exploration=self._exploration(request, read.asked),
        )

    def _assign(self, request: RecommendRequest) -> tuple[RecommendRequest, dict[str, str]]:
        """The request with what its user's arms set.

        A caller's own list and a list that is shown as it is are exempt: an experiment compares what the funnel chose.
        """
        if request.rank is not None or request.list is not None:
            return request, {}
        return self._pipeline.experiments.assign(request)

    def _repeats(self, asked: Asked) -> Repeats:
        """The default: the release's setting; a caller's own list is whole, and a list is as it is."""
        return self._pipeline.repeats if asked.form in ("plain", "items", "like") else "allow"

    def _exploration(self, request: RecommendRequest, asked: Asked) -> Exploration:
        """Draw whether a list is explored: before anything is known of it, so that the share is that of all lists.

        A query by content is exempt: its answer is a search result. So are the other forms: an evaluation repeats
        logged requests by user, which gives another list, so a draw for it would cost the user and tell nothing.
        """
        share = self._pipeline.explore if request.query is None and asked.form == "plain" else 0.0
        return Exploration(share, random() < share)  # noqa: S311

    async def retrieve(self, query: Query) -> Candidates:
        """Query hydrators, sources, item hydrators and filters; returns the candidates to score.

        Once a query hydrator has found an earlier answer to reuse, nothing else runs; the candidates are its items.
        """
        if query.page.closed:
            query.trace.degraded.append(f"pages: {query.page.closed}")
            return self._retrieval["plain"].none
        funnel = query.asked.funnel
        for hydrator in self._funnels[funnel].query_hydrators:
            if not hydrator.enabled(query):
                continue
            work, fallback = partial(hydrator.hydrate, query), partial(hydrator.fallback, query)
            await self._fallbacks.attempt(query, "query_hydrators", hydrator.name, work, fallback)
            if (reused := query.reuse.answer) is not None:
                return reused.shown
        return await self._retrieval[funnel].candidates(query)

    async def score(self, query: Query, candidates: Candidates) -> None:
        """Scorers: set the candidates' scores, unless an earlier answer is reused."""
        if query.reuse.answer is not None or query.page.closed:
            return
        for scorer in self._funnels[query.asked.funnel].scorers:
            if scorer.enabled(query):
                work, fallback = partial(scorer.score, query, candidates), partial(scorer.fallback, query, candidates)
                await self._fallbacks.attempt(query, "scorers", scorer.name, work, fallback, given=len(candidates))

    def answer(self, query: Query, candidates: Candidates) -> Answer:
        """Orderers, unless an earlier answer is reused; returns the answer and hands it to the side effects."""
        reused, pipeline, funnel = query.reuse.answer, self._pipeline, self._funnels[query.asked.funnel]
        shown = candidates if reused or query.page.closed else self._order(query, candidates, funnel)
        answer = Answer(
            user_id=query.request.user_id,
            release=pipeline.release,
            request_id=query.request_id,
            recommendation_id=pipeline.ids.write(
                query.page, query.request.k, marks(pipeline.catalog.words(shown.items))
            ),
            items=reused.items
            if reused
            else recommended(shown, pipeline.catalog, funnel.source_names, query.page.first),
            degraded=query.trace.degraded,
        )
        if query.request.reasons and reused is None:
            given = pipeline.reasons.reasons(query, shown, funnel.source_names)
            for item, reason in zip(answer["items"], given, strict=True):
                item["reason"] = reason
        if reused is not None:
            answer["reused_ms"] = int((monotonic() - reused.made) * 1000)
        if query.exploration.drawn:
            answer["explored"] = True
        if query.arms:
            answer["arms"] = query.arms
        if query.asked.form == "rank":
            answer["left_out"] = left_out(query, funnel.filters, self._pipeline.catalog)
        if query.request.debug:
            answer["trace"] = self._pipeline.explainer.explain(query, shown, funnel.filters, funnel.source_names)
        for effect in self._pipeline.side_effects:
            effect.after(query, answer, shown)
        # Observed after the answer has been sent.
        asyncio.get_running_loop().call_soon(self._metrics.observe, query, perf_counter() - query.started)
        return answer

    def _order(self, query: Query, candidates: Candidates, funnel: Pipeline) -> Candidates:
        """Orderers; returns the candidates to show."""
        ranked = candidates.take(np.argsort(-candidates.score, kind="stable"))
        query.trace.ranked = ranked
        shown = ranked
        for orderer in funnel.orderers:
            started, before = perf_counter(), len(shown)
            shown = shown.take(orderer.order(query, shown))
            query.trace.end_step("orderers", orderer.name, started, before, len(shown))
        return shown.take(np.arange(min(query.request.k, len(shown))))

    async def recommend(self, query: Query) -> Answer:
        """All stages in one call, for evaluation and tests."""
        candidates = await self.retrieve(query)
        await self.score(query, candidates)
        return self.answer(query, candidates)

    async def warm_up(self) -> None:
        """Open the connections with a cold-start user's request, so that the first caller does not wait for them."""
        await self._pipeline.ids.key.refresh()
        [query] = await self.admit([RecommendRequest(user_id="warm-up")], "warm-up")
        await self.score(query, await self.retrieve(query))

    async def close(self) -> None:
        """Wait for the side effects to finish."""
        await asyncio.gather(*(effect.flush() for effect in self._pipeline.side_effects))

    async def _decode(self, requests: Sequence[RecommendRequest]) -> list[DecodedContent]:
        """The decoded content of each request's query; empty for a request without one."""
        if all(request.query is None for request in requests):
            return [{}] * len(requests)
        queries = [request.query for request in requests]
        return await self._pipeline.media_decoder.decode_all(
            [{} if query is None else {name: getattr(query, name) for name in MODALITIES} for query in queries],
            [f"instances[{n}].query" for n in range(len(queries))],
        )
