"""A share of the lists is drawn at random, and logged propensities are the frequencies of what is shown."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.funnel.runner import Runner
from recommender_transformer.pipeline import recommender
from tests.support.reuse.logged import logged
from winnow.release import Release
from winnow.request import Answer, RecommendRequest
from winnow.store.connection import connect
from winnow.store.keys import IMPRESSIONS

Ask = Callable[..., list[Answer]]


@pytest.fixture
def ask(published: Release, models: Any, redis_url: str) -> Ask:
    """Answer a request ``times`` times by one funnel; ``explore`` and ``reuse_s`` are the funnel's."""

    def run(times: int, explore: float, reuse_s: float = 0.0, **fields: Any) -> list[Answer]:
        async def inside() -> list[Answer]:
            store = OnlineStore(published, redis_url)
            pipeline = recommender(published, store, models, reuse_s=reuse_s, explore=explore)
            runner = Runner(pipeline, store.cold_start_state, deadline_ms=10_000)
            request = RecommendRequest.model_validate({"user_id": "user-1", **fields})
            try:
                answers = []
                for number in range(times):
                    [query] = await runner.admit([request], f"exploring-{number}")
                    answers.append(await runner.recommend(query))
                await runner.close()
                return answers
            finally:
                await store.close()

        random.seed(17)
        with closing(connect(redis_url)) as client:
            client.delete(IMPRESSIONS)
        return asyncio.run(inside())

    return run


@pytest.mark.parametrize(
    ("explore", "reuse_s", "repeats"), [(0.5, 0.0, "hide"), (0.3, 60.0, "hide"), (0.5, 0.0, "demote")]
)
def test_logged_propensities_are_the_frequencies_of_items_at_positions(
    ask: Ask, redis_url: str, explore: float, reuse_s: float, repeats: str
) -> None:
    """Also where answers are reused: each request draws for itself whether its list is explored."""
    times, k = 700, 3
    answers = ask(times, explore, reuse_s, k=k, repeats=repeats)
    lists = logged(redis_url)
    assert len(lists) == times
    reused = sum("reused_ms" in answer for answer in answers)
    assert reused == (0 if not reuse_s else pytest.approx((1 - explore) * times, rel=0.1))
    propensities: dict[tuple[str, int], set[float]] = {}
    for slots in lists:
        for item, position, propensity in slots:
            propensities.setdefault((item, position), set()).add(round(propensity, 6))
    counts = Counter((item, position) for slots in lists for item, position, _ in slots)
    # Of the best 2 k, each at each position; and of one item at one position there is one propensity.
    assert len(propensities) == 2 * k * k
    for slot, found in propensities.items():
        [probability] = found
        deviation = (probability * (1 - probability) / times) ** 0.5
        assert abs(counts[slot] / times - probability) < 4.5 * deviation, slot
    for position in range(k):
        total = sum(next(iter(found)) for (_, at), found in propensities.items() if at == position)
        assert total == pytest.approx(1.0, abs=1e-5)


def test_nothing_is_explored_by_default(ask: Ask, redis_url: str) -> None:
    first, *others = ask(40, 0.0)
    assert "explored" not in first
    assert all(answer["items"] == first["items"] for answer in others)
    assert {propensity for slots in logged(redis_url) for _, _, propensity in slots} == {1.0}


def test_answer_and_trace_say_that_a_list_was_explored(ask: Ask) -> None:
    [plain] = ask(1, 0.0, k=5)
    [explored] = ask(1, 1.0, k=5, debug=True)
    assert explored["explored"] is True
    assert explored["trace"]["exploration"] == {"share": 1.0, "drawn": True}
    shown = [item["item_id"] for item in explored["items"]]
    assert shown != [item["item_id"] for item in plain["items"]]
    assert len(set(shown)) == 5
    traced = {one["item_id"]: one for one in explored["trace"]["candidates"]}
    assert {traced[item]["propensity"] for item in shown} == {0.1}
    # The items are a draw from the best candidates: nothing beyond them, and nothing that a filter removed.
    assert max(traced[item]["ranked"] for item in shown) < 20
    assert not any("removed_by" in traced[item] for item in shown)


def test_an_explored_list_is_neither_held_nor_replaced_by_a_held_one(ask: Ask) -> None:
    answers = ask(60, 1.0, reuse_s=60.0, k=5)
    assert not any("reused_ms" in answer for answer in answers)
    assert len({tuple(item["item_id"] for item in answer["items"]) for answer in answers}) > 50


def test_a_search_is_not_explored(ask: Ask, redis_url: str) -> None:
    first, *others = ask(10, 1.0, query={"text": "a red ball"}, k=5)
    assert "explored" not in first
    assert all(answer["items"] == first["items"] for answer in others)
    assert {propensity for slots in logged(redis_url) for _, _, propensity in slots} == {1.0}


def test_unseen_items_stay_before_seen_ones(ask: Ask, published: Release) -> None:
    """Where repeats are demoted, and the list has all items that the request allows."""
    offsets = published.array("offsets")
    ids = published.strings("item_ids")
    seen = {str(ids[item]) for item in published.array("item")[offsets[1] : offsets[2]]}
    answers = ask(30, 1.0, k=100, repeats="demote", filters={"categories": ["books"]})
    lists = [[item["item_id"] in seen for item in answer["items"]] for answer in answers]
    assert any(any(one) for one in lists)
    assert all(one == sorted(one) for one in lists)
