"""``debug: true`` explains every candidate."""

import asyncio
from collections.abc import Callable

import numpy as np
import pytest
from redis import Redis

from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.funnel.filters.unlikely import FEWEST
from recommender_transformer.funnel.runner import Runner
from recommender_transformer.pipeline import recommender
from winnow.bloom.categories import CategoryFilter
from winnow.bloom.hashing import item_hash
from winnow.bloom.seen import SeenFilter
from winnow.release import Release
from winnow.request import Answer, RecommendRequest
from winnow.store.keys import Keys
from winnow.store.shared_state import state_of

Recommend = Callable[..., Answer]


def test_the_trace_names_the_features_of_every_row(recommend: Recommend, published: Release) -> None:
    trace = recommend("user-5", k=8, debug=True)["trace"]
    rows, words = published.array("item_rows"), published.vocabularies
    numbers = [feature.name for feature in published.schema.item if feature.kind == "numeric"]
    for candidate in trace["candidates"]:
        row = rows[int(candidate["item_id"].removeprefix("item-"))]
        features = candidate["features"]
        assert features["category"] == words["category"][row["categorical"][0]]
        assert features["tags"] == [words["tags"][code] for code in row["categorical"][1:] if code]
        assert [features[name] for name in numbers] == pytest.approx(row["numeric"].tolist())
        assert 0 <= candidate["features_age_s"] < 5
    assert trace["user"]["features"] == {
        "country": words["user_country"][published.array("user_rows")["categorical"][5, 0]]
    }
    assert trace["user"]["events"] == 12


def test_every_removal_has_its_reason(recommend: Recommend, published: Release, redis_url: str) -> None:
    keys, client = Keys(published.manifest.number), Redis.from_url(redis_url)
    books = CategoryFilter()
    books.update([item_hash("books")])
    client.set(state_of(published).categories("user-3"), books.to_bytes())
    seen = SeenFilter.from_bytes(client.get(state_of(published).seen("user-3")))
    seen.update([item_hash(f"gone-{n}") for n in range(FEWEST)], 1000 * max(seen.windows) - 1)
    client.set(state_of(published).seen("user-3"), seen.to_bytes())
    excluded = [f"item-{n}" for n in range(1, 100)]
    client.delete(keys.item("item-200"), keys.item("item-210"), keys.item("item-220"), keys.item("item-230"))
    traces = [
        recommend("user-3", k=5, debug=True, filters={"exclude_items": excluded})["trace"],
        recommend("user-3", k=5, debug=True, filters={"categories": ["toys"]})["trace"],
    ]
    reasons = {(c["removed_by"], c["reason"]) for trace in traces for c in trace["candidates"] if "removed_by" in c}
    assert reasons >= {
        ("seen", "in the user's recent history"),
        ("seen", "in the user's seen filter"),
        ("available", "not available"),
        ("request", "excluded by the request"),
        ("request", "not in a requested category"),
        ("unlikely", "the user has not interacted with any of its categories"),
        ("unknown", "no row in Redis or in this process"),
    }
    for trace in traces:
        for candidate in trace["candidates"]:
            assert ("removed_by" in candidate) == ("reason" in candidate) == ("score" not in candidate)
            assert ("features" in candidate) == (candidate.get("removed_by") != "unknown")


def test_moves_lead_from_the_rank_to_the_final_position(recommend: Recommend) -> None:
    answer = recommend("user-5", k=8, debug=True, diversity=0.7)
    final = sorted((c for c in answer["trace"]["candidates"] if "position" in c), key=lambda c: c["position"])
    assert [c["item_id"] for c in final] == [item["item_id"] for item in answer["items"]]
    assert [c["ranked"] - c["moved"] for c in final] == list(range(8))
    assert any(c["moved"] for c in final)
    assert all(c["propensity"] == 1 for c in final)


def test_a_stage_has_its_start_and_duration(recommend: Recommend) -> None:
    stages = recommend("user-5", k=8, debug=True)["trace"]["stages"]
    ends = [step["at"] + step["ms"] for step in stages]
    assert all(step["at"] >= 0 for step in stages)
    assert ends == sorted(ends)
    assert [(step["in"], step["out"]) for step in stages if step["component"] == "mmr"] == [(stages[-2]["in"], 8)]


def test_a_rows_age_counts_from_its_read(published: Release, redis_url: str, models) -> None:
    async def run() -> tuple[list[float], list[float | None]]:
        store = OnlineStore(published, redis_url)
        try:
            runner = Runner(recommender(published, store, models), store.cold_start_state, 2000)

            async def ask() -> Answer:
                request = RecommendRequest(user_id="user-5", k=8, debug=True)
                [query] = await runner.admit([request], "test")
                return await runner.recommend(query)

            await ask()
            await asyncio.sleep(0.3)
            ages = [c["features_age_s"] for c in (await ask())["trace"]["candidates"]]
            return ages, store.row_ages(np.arange(1, 301, dtype=np.int32)).tolist()
        finally:
            await runner.close()
            await store.close()

    ages, all_ages = asyncio.run(run())
    assert all(0.3 <= age < 5 for age in ages), "a row is read again after 5 seconds"
    assert sum(age != age for age in all_ages) == 300 - len(ages), "of what was never read there is no age"


def test_without_redis_the_releases_rows_have_no_age(recommend: Recommend) -> None:
    trace = recommend("user-5", url="redis://127.0.0.1:1/0", k=8, debug=True)["trace"]
    assert all(c["features_age_s"] is None and c["features"]["category"] for c in trace["candidates"])
