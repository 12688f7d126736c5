"""Sources that depend on another source wait for it, and are not marked when it fails."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from prometheus_client import REGISTRY

from recommender_transformer.backends import live_items
from recommender_transformer.backends.breaker import FAILURES
from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.funnel.components import Pipeline
from recommender_transformer.funnel.dependencies import dependency_order
from recommender_transformer.funnel.runner import Runner
from recommender_transformer.pipeline import recommender
from tests.support.tiny_release import new_item
from winnow.ranking.context import SourceList
from winnow.release import Release
from winnow.request import RecommendRequest

Talk = Callable[[Runner], Any]
NEWEST = [305, 304, 303, 302, 301]


@pytest.fixture
def together(published: Release, models: Any, redis_url: str) -> Callable[..., Any]:
    """Run several requests with one runner and a catalog with five new items."""

    def run(talk: Talk, changed: Callable[[Pipeline], Pipeline] = lambda pipeline: pipeline) -> Any:
        async def connected() -> Any:
            store = OnlineStore(published, redis_url)
            items = [new_item(published, f"new-{n}", slot=n) for n in range(5)]
            await live_items.write(store, items)
            for item in items:
                store.learn([item])
            try:
                runner = Runner(changed(recommender(published, store, models)), store.cold_start_state, 5000)
                answer = await talk(runner)
                await runner.close()
                return answer
            finally:
                await store.close()

        return asyncio.run(connected())

    return run


async def ask(runner: Runner, user_id: str = "user-3") -> tuple[list[str], SourceList]:
    """The degraded parts of the answer, and the candidates of the source of new items."""
    [query] = await runner.admit([RecommendRequest(user_id=user_id, k=100)], "test")
    answer = await runner.recommend(query)
    return answer["degraded"], query.sources.lists["new_items"]


def is_newest(found: SourceList) -> bool:
    return found.items.tolist() == NEWEST and np.allclose(found.scores, [1 / n for n in range(1, 6)])


@pytest.mark.parametrize("trouble", ["late", "down"])
def test_only_the_failed_source_is_marked_degraded(together: Any, models: Any, trouble: str) -> None:
    if trouble == "late":
        models.delay_s = {"retriever": 30.0}
    else:
        models.broken = {"retriever"}

    async def talk(runner: Runner) -> None:
        together = await asyncio.gather(*(ask(runner) for _ in range(2 * FAILURES)))
        for degraded, found in [*together, last := await ask(runner)]:
            assert [entry.split(":")[0] for entry in degraded] == ["retriever"]
            # It still gives its candidates.
            assert is_newest(found)
        assert last[0] == ["retriever: circuit open"]
        assert REGISTRY.get_sample_value("winnow_circuit_open", {"component": "new_items"}) == 0

    before = REGISTRY.get_sample_value("winnow_degraded_total", {"component": "new_items"}) or 0.0
    together(talk)
    assert (REGISTRY.get_sample_value("winnow_degraded_total", {"component": "new_items"}) or 0.0) == before


def test_a_cold_start_user_skips_the_retriever_without_degradation(together: Any) -> None:
    async def talk(runner: Runner) -> None:
        degraded, found = await ask(runner, "cold-start-user")
        assert degraded == []
        assert is_newest(found)

    together(talk)


def test_the_order_of_the_list_does_not_matter(together: Any) -> None:
    async def talk(runner: Runner) -> list[float]:
        degraded, found = await ask(runner)
        assert degraded == []
        assert sorted(found.items.tolist()) == sorted(NEWEST)
        return sorted(found.scores.tolist())

    def backwards(pipeline: Pipeline) -> Pipeline:
        return replace(pipeline, sources=pipeline.sources[::-1])

    as_it_is = together(talk)
    # The products with the user's vector, which the retriever returns.
    assert as_it_is != pytest.approx([1 / n for n in range(5, 0, -1)])
    assert together(talk, backwards) == as_it_is


class Named:
    """A source as far as its order needs it."""

    def __init__(self, name: str, *needs: str) -> None:
        self.name, self.needs = name, needs


def test_every_source_runs_after_its_dependencies() -> None:
    sources = [Named("a", "b", "c"), Named("b", "d"), Named("c"), Named("d")]
    for given in permutations(sources):
        ordered = [source.name for source in dependency_order(given)]
        assert sorted(ordered) == ["a", "b", "c", "d"]
        for source in sources:
            assert all(ordered.index(need) < ordered.index(source.name) for need in source.needs)


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([Named("a", "b"), Named("c")], "source a needs b, which is none of a, c"),
        ([Named("a", "b"), Named("b", "a")], "sources need each other: "),
        ([Named("a", "a")], "sources need each other: a -> a"),
    ],
)
def test_an_unknown_or_circular_dependency_is_refused_at_start_up(
    together: Any, sources: list[Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        dependency_order(sources)

    async def talk(runner: Runner) -> None:
        raise AssertionError("never reached")

    with pytest.raises(ValueError, match=message):
        together(talk, lambda pipeline: replace(pipeline, sources=tuple(sources)))
