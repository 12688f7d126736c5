"""The whole funnel with a real Redis and the NumPy models."""

import asyncio
import socket
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from prometheus_client import REGISTRY

from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.funnel.runner import Runner
from recommender_transformer.pipeline import recommender
from tests.support.redis_fixtures import server_and_cluster
from winnow.ranking.context import CONTEXT_FEATURES
from winnow.release import Release
from winnow.request import Answer, InvalidRequest, RecommendRequest
from winnow.store.connection import connect
from winnow.store.shared_state import state_of

redis_url = server_and_cluster

NOWHERE = "redis://127.0.0.1:1/0"
Recommend = Callable[..., Answer]


@pytest.fixture
def silent_redis() -> Iterator[str]:
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


def ids(answer: Answer) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def indices(answer: Answer) -> list[int]:
    return [int(item_id.removeprefix("item-")) for item_id in ids(answer)]


def seen_items(release: Release, user: int) -> set[int]:
    offsets = release.array("offsets")
    return set(release.array("item")[offsets[user] : offsets[user + 1]].tolist())


def available(release: Release) -> set[int]:
    return set(np.flatnonzero(release.array("item_rows")["available"]).tolist())


@pytest.mark.parametrize("user", range(6))
def test_seen_and_unavailable_items_are_left_out_and_none_repeats(
    recommend: Recommend, release: Release, user: int
) -> None:
    answer = recommend(f"user-{user}", k=100)
    assert answer["degraded"] == []
    assert len(set(ids(answer))) == len(ids(answer)) == 100
    assert not set(indices(answer)) & seen_items(release, user)
    assert set(indices(answer)) <= available(release)
    assert [item["position"] for item in answer["items"]] == list(range(100))


def test_a_cold_start_user_gets_trending_items(recommend: Recommend, release: Release, models) -> None:
    answer = recommend("cold-start-user", k=20)
    assert answer["degraded"] == []
    assert {source for item in answer["items"] for source in item["sources"]} == {"trending"}
    assert set(indices(answer)) <= set(release.array("popular")[:50].tolist())
    assert "retriever" not in [name for name, _ in models.asked]


def test_a_new_event_counts_in_the_next_answer(recommend: Recommend, published: Release, redis_url: str) -> None:
    first = ids(recommend("user-2", k=1, diversity=0.0))[0]
    client = connect(redis_url)
    client.lpush(state_of(published).history("user-2"), f"1900000000000|1|{first}")
    assert first not in ids(recommend("user-2", k=100))


def test_without_diversity_the_order_is_that_of_the_values(recommend: Recommend, release: Release) -> None:
    answer = recommend("user-3", k=30, diversity=0.0)
    values = [item["value"] for item in answer["items"]]
    assert values == sorted(values, reverse=True)
    # A view is worth 1, a purchase 4 and a dislike -5.
    _, buy, dislike = release.array("item_rows")["numeric"][indices(answer), :3].T.astype(float)
    assert [item["conversion"] for item in answer["items"]] == pytest.approx(buy)
    assert values == pytest.approx([item["click"] for item in answer["items"]] * (1 + 3 * buy - 0.5 * dislike))
    assert [item["score"] for item in answer["items"]] == pytest.approx(np.log(values), rel=1e-5)


def test_request_filters_apply(recommend: Recommend, release: Release) -> None:
    left_out = ids(recommend("user-1", k=5))
    answer = recommend("user-1", k=40, filters={"categories": ["toys"], "exclude_items": [*left_out, "unheard-of"]})
    toys = set(np.flatnonzero(release.array("item_rows")["categorical"][:, 0] == 4).tolist())
    assert set(indices(answer)) <= toys
    assert not set(ids(answer)) & set(left_out)
    # Every toy that may be recommended is: the source of matching items completes a short list.
    allowed = (toys & available(release)) - seen_items(release, 1) - {int(i.removeprefix("item-")) for i in left_out}
    assert len(ids(answer)) >= min(40, len(allowed)) - 1
    assert any(item["sources"] == ["matching"] for item in answer["items"])


def test_an_unknown_category_is_refused(recommend: Recommend) -> None:
    with pytest.raises(InvalidRequest, match=r"filters\.categories\[1\]: must be a category of the catalog, got 'zoo'"):
        recommend("user-1", filters={"categories": ["toys", "zoo"]})


@pytest.mark.parametrize("fault", ["down", "late"])
def test_without_the_retriever_the_other_sources_answer(recommend: Recommend, models, fault: str) -> None:
    models.broken, models.delay_s = ({"retriever"}, {}) if fault == "down" else (set(), {"retriever": 5.0})
    answer = recommend("user-3", k=10, deadline_ms=400)
    reason = "ConnectionError" if fault == "down" else "no answer within 240 ms"
    assert answer["degraded"] == [f"retriever: {reason}"]
    assert len(answer["items"]) == 10
    assert {source for item in answer["items"] for source in item["sources"]} <= {"covisitation", "trending"}


@pytest.mark.parametrize("fault", ["down", "late"])
def test_without_the_ranker_the_order_is_that_of_retrieval(recommend: Recommend, models, fault: str) -> None:
    models.broken, models.delay_s = ({"ranker"}, {}) if fault == "down" else (set(), {"ranker": 5.0})
    answer = recommend("user-3", k=10, deadline_ms=400, diversity=0.0, debug=True)
    reason = "ConnectionError" if fault == "down" else "no answer within 380 ms"
    assert answer["degraded"] == [f"ranker: {reason}"]
    assert all(item["click"] is None for item in answer["items"])
    survivors = [c["item_id"] for c in answer["trace"]["candidates"] if "removed_by" not in c]
    assert ids(answer) == survivors[:10]
    assert all("retriever" in item["sources"] for item in answer["items"])


@pytest.mark.parametrize("user_id", ["user-3", "someone-new"], ids=["user with a history", "cold-start user"])
def test_a_release_without_a_learned_ranker_orders_by_the_sources(
    published: Release, models, redis_url: str, user_id: str
) -> None:
    manifest = published.manifest.model_copy(update={"unranked": "the log gives only 8 lists"})

    async def run() -> Answer:
        store = OnlineStore(published, redis_url)
        runner = Runner(recommender(Release(published.folder, manifest), store, models), store.cold_start_state, 2000)
        try:
            request = RecommendRequest(user_id=user_id, k=20, diversity=0.0, debug=True)
            [query] = await runner.admit([request], "test")
            return await runner.recommend(query)
        finally:
            await runner.close()
            await store.close()

    answer = asyncio.run(run())
    assert answer["degraded"] == []
    assert "ranker" not in [name for name, _ in models.asked]
    assert [item["click"] for item in answer["items"]] == [None] * 20
    survivors = [c["item_id"] for c in answer["trace"]["candidates"] if "removed_by" not in c]
    assert ids(answer) == survivors[:20]
    first = "retriever" if user_id == "user-3" else "trending"
    assert all(first in item["sources"] for item in answer["items"])


def test_degraded_answers_have_a_latency_metric_of_their_own(recommend: Recommend, models) -> None:
    def counted() -> dict[str, float]:
        return {
            degraded: REGISTRY.get_sample_value("winnow_request_seconds_count", {"degraded": degraded}) or 0.0
            for degraded in ("no", "yes")
        }

    before = counted()
    recommend("user-3", deadline_ms=10_000)
    models.broken = {"ranker"}
    recommend("user-3", deadline_ms=10_000)
    assert counted() == {degraded: count + 1 for degraded, count in before.items()}


def test_without_redis_popular_items_are_recommended(recommend: Recommend, release: Release) -> None:
    answer = recommend("user-3", url=NOWHERE, k=10)
    assert [entry.split(":")[0] for entry in answer["degraded"]] == [
        "user_state",
        "seen",
        "objectives",
        "trending",
        "item_rows",
    ]
    assert len(answer["items"]) == 10
    assert set(indices(answer)) <= set(release.array("popular")[:50].tolist()) & available(release)


@pytest.mark.timeout(60)  # without a time-out the read never ends
def test_a_silent_redis_delays_no_answer_beyond_its_deadline(recommend: Recommend, silent_redis: str) -> None:
    answer = recommend("user-3", url=silent_redis, k=10, deadline_ms=300)
    assert len(answer["items"]) == 10
    assert answer["degraded"][0] == "user_state: no answer within 75 ms"


def test_without_redis_and_models_the_popular_list_is_the_answer(
    recommend: Recommend, release: Release, models
) -> None:
    models.broken = {"retriever", "ranker"}
    answer = recommend("user-3", url=NOWHERE, k=10, diversity=0.0)
    popular = [item for item in release.array("popular").tolist() if item in available(release)]
    assert indices(answer) == popular[:10]
    assert "ranker: ConnectionError" in answer["degraded"]


@pytest.mark.parametrize("redis_url", ["server"], indirect=True)
def test_answers_recover_after_redis_paused(published: Release, redis_url: str, models) -> None:
    """A cancelled read must not leave its answer to the next reader of the connection."""
    client = connect(redis_url)

    async def run() -> list[Answer]:
        store = OnlineStore(published, redis_url)
        runner = Runner(recommender(published, store, models), store.cold_start_state, deadline_ms=200)

        async def ask(user: int) -> Answer:
            request = RecommendRequest(user_id=f"user-{user}", k=20)
            [query] = await runner.admit([request], "test")
            return await runner.recommend(query)

        before = await ask(1)
        client.client_pause(400, all=True)
        during = [await ask(user) for user in (2, 3)]
        await asyncio.sleep(0.5)
        after = [await ask(1) for _ in range(3)]
        await runner.close()
        await store.close()
        return [before, *during, *after]

    before, *during, one, two, three = asyncio.run(run())
    assert all(any("user_state" in entry for entry in answer["degraded"]) for answer in during)
    assert ids(before) == ids(one) == ids(two) == ids(three)
    assert three["degraded"] == []


def test_the_trace_accounts_for_every_candidate(recommend: Recommend) -> None:
    answer = recommend("user-5", k=8, debug=True)
    trace = answer["trace"]
    assert [(step["stage"], step["component"]) for step in trace["stages"] if step["stage"] != "sources"] == [
        ("query_hydrators", "user_state"),
        ("query_hydrators", "objectives"),
        ("item_hydrators", "item_rows"),
        ("filters", "seen"),
        ("filters", "available"),
        ("filters", "request"),
        ("filters", "rules"),
        ("filters", "disliked"),
        ("filters", "disliked_category"),
        ("filters", "unlikely"),
        ("scorers", "ranker"),
        ("scorers", "value"),
        ("orderers", "mmr"),
    ]
    assert trace["sources"] == {"retriever": 60, "covisitation": 40, "trending": 50}
    removed = [c for c in trace["candidates"] if "removed_by" in c]
    kept = [c for c in trace["candidates"] if "removed_by" not in c]
    assert sum(trace["removed"].values()) == len(removed)
    assert {c["removed_by"] for c in removed} == {"seen", "available"}
    assert sorted(c["ranked"] for c in kept) == list(range(len(kept)))
    assert [c["item_id"] for c in sorted(kept, key=lambda c: c.get("position", 99))][:8] == ids(answer)
    assert all(c["sources"] for c in trace["candidates"])
    assert "trace" not in recommend("user-5", k=8)


def test_candidates_are_padded_and_the_tensors_match_the_signature(recommend: Recommend, models) -> None:
    recommend("user-5", k=8)
    name, tensors = models.asked[-1]
    assert name == "ranker"
    assert {key: (array.shape, array.dtype.name) for key, array in tensors.items()} == {
        "history_items": ((1, 12), "int32"),
        "history_events": ((1, 12), "int32"),
        "history_gaps": ((1, 12), "float32"),
        "user_categorical": ((1, 1), "int32"),
        "user_numeric": ((1, 1), "float32"),
        "candidate_items": ((1, 96), "int32"),
        "candidate_categorical": ((1, 96, 3), "int32"),
        "candidate_numeric": ((1, 96, 7 + len(CONTEXT_FEATURES)), "float32"),
        "fresh_vectors": ((1, 1, 8), "float32"),
    }
    assert (tensors["candidate_items"][0, 90:] == 0).any()
