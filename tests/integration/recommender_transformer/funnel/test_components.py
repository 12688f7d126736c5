"""Contracts that hold for every component of a stage; a new component joins by its stage's line in the table."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from inspect import isawaitable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from recommender_transformer.backends.live_items import write
from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.components import Pipeline
from recommender_transformer.funnel.query import Query
from recommender_transformer.funnel.runner import Runner
from recommender_transformer.funnel.stage_metrics import TIMED_STAGES
from recommender_transformer.funnel.stages import Filter
from recommender_transformer.pipeline import recommender
from tests.support.tiny_release import new_item
from winnow.release import Release
from winnow.request import Boost, ContentQuery, Pin, RecommendRequest, RequestFilters
from winnow.retrieval import offline_lists

SOURCES = ("content", "history", "retriever", "offline", "covisitation", "matching", "trending", "new_items", "pinned")
FILTERS = ("seen", "available", "request", "rules", "disliked", "disliked_category", "unlikely")
Check = Callable[[Pipeline, Query, Candidates], Coroutine[Any, Any, None]]


@pytest.fixture
def check(published: Release, models, redis_url: str) -> Callable[[Check], None]:
    """Run a check on the pipeline and a query of a user with a history and a text, after retrieval.

    The catalog has a new item, and the user an offline list, so that every component has work.
    """

    def run(work: Check, where: str | None = None) -> None:
        async def inside() -> None:
            store = OnlineStore(published, redis_url)
            pipeline = recommender(published, store, models)
            runner = Runner(pipeline, store.cold_start_state, deadline_ms=5000)
            try:
                store.learn([new_item(published, "new-1", slot=0)])
                await write(store, [new_item(published, "new-1", slot=0)])
                store.lists.exist = True
                offline = offline_lists.encode(np.array([9, 4, 21], np.int32))
                await store.client.set(store.keys.offline_list("user-7"), offline)
                request = RecommendRequest(
                    user_id="user-7",
                    query=ContentQuery(text="a red ball"),
                    k=10,
                    repeats="allow",
                    filters=RequestFilters(where=where),
                    boosts=[Boost(where="price < 150", factor=2.0)],
                    pins=[Pin(item_id="item-30", position=1)],
                )
                [query] = await runner.admit([request], "contract")
                await work(pipeline, query, await runner.retrieve(query))
            finally:
                await runner.close()
                await store.close()

        asyncio.run(inside())

    return run


async def result(given: Any) -> Any:
    """What a component returns, at once or from a coroutine."""
    return await given if isawaitable(given) else given


def named(components: tuple[Any, ...], name: str) -> Any:
    (component,) = [component for component in components if component.name == name]
    return component


def decisions(component: Filter, query: Query, candidates: Candidates) -> NDArray[np.bool_]:
    """What a filter keeps, also where it keeps all without a comparison."""
    kept = component.keep(query, candidates)
    return np.ones(len(candidates), np.bool_) if kept is None else kept


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_lists_distinct_items_best_first(check, name: str) -> None:
    async def work(pipeline: Pipeline, query: Query, candidates: Candidates) -> None:
        source = named(pipeline.sources, name)
        assert source.enabled(query)
        for items, scores in (await result(source.find(query)), source.fallback(query)):
            assert (items.dtype, scores.dtype) == (np.int32, np.float32)
            assert len(items) == len(scores) == len(set(items.tolist()))
            assert ((items >= 1) & (items < len(pipeline.catalog.rows))).all()
            assert (np.diff(scores) <= 0).all()

    check(work, "price < 200 or item_id = 'new-1'" if name == "matching" else None)


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_has_one_decision_per_candidate_and_changes_none(check, name: str) -> None:
    async def work(pipeline: Pipeline, query: Query, candidates: Candidates) -> None:
        component = named(pipeline.filters, name)
        merged = query.trace.merged[0]
        before = merged.items.copy()
        kept = decisions(component, query, merged)
        assert (kept.dtype, kept.shape) == (np.bool_, before.shape)
        assert (merged.items == before).all()
        assert (decisions(component, query, merged) == kept).all()
        assert decisions(component, query, candidates).all(), "what has passed once passes again"
        assert decisions(component, query, merged.take(np.arange(0))).shape == (0,)
        reasons = component.reasons(query, merged)
        assert len(reasons) == len(merged)
        assert all(reasons)

    check(work)


@pytest.mark.parametrize("way", ["hydrate", "fallback"])
def test_item_hydrators_give_each_candidate_its_own_row(check, way: str) -> None:
    async def work(pipeline: Pipeline, query: Query, candidates: Candidates) -> None:
        for hydrator in pipeline.item_hydrators:
            known = await result(getattr(hydrator, way)(query, candidates))
            assert known.all()
            assert (candidates.rows["index"] == candidates.items).all()

    check(work)


@pytest.mark.parametrize("way", ["score", "fallback"])
def test_scorers_score_every_candidate(check, way: str) -> None:
    async def work(pipeline: Pipeline, query: Query, candidates: Candidates) -> None:
        candidates.score[:] = np.nan
        for scorer in pipeline.scorers:
            assert scorer.enabled(query)
            await result(getattr(scorer, way)(query, candidates))
            assert candidates.score.shape == candidates.items.shape
            assert np.isfinite(candidates.score).all()

    check(work)


@pytest.mark.parametrize("k", [1, 10, 100])
def test_orderers_choose_distinct_candidates(check, k: int) -> None:
    async def work(pipeline: Pipeline, query: Query, candidates: Candidates) -> None:
        query = replace(query, request=RecommendRequest(user_id="user-7", k=k))
        candidates.score = -np.arange(len(candidates), dtype=np.float32)
        for orderer in pipeline.orderers:
            positions = orderer.order(query, candidates)
            assert len(set(positions.tolist())) == len(positions) == min(k, len(candidates))
            assert positions[0] == 0, "the best stays the best"

    check(work)


def test_every_component_has_a_contract(check) -> None:
    async def work(pipeline: Pipeline, query: Query, candidates: Candidates) -> None:
        assert tuple(source.name for source in pipeline.sources) == SOURCES
        assert tuple(component.name for component in pipeline.filters) == FILTERS
        names = [component.name for stage in TIMED_STAGES for component in getattr(pipeline, stage)]
        assert len(set(names)) == len(names)

    check(work)
