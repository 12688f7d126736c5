"""Reasons are true: each is compared with what the user did, and with the arrays that the sources read."""

import asyncio
import re
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from recommender_transformer.backends.online_store import OnlineStore, UserState
from recommender_transformer.funnel.reasons import words
from tests.support.tiny_release import ITEMS, SCHEMA, USERS
from tests.support.transformer_fixtures import AskInTurn
from winnow import protocols
from winnow.release import Release
from winnow.request import RecommendedItem
from winnow.retrieval.covisitation import MEMORY

KNOWN = [f"user-{n}" for n in range(USERS)]


def state_of(release: Release, redis_url: str, user: str) -> UserState:
    async def read() -> UserState:
        store = OnlineStore(release, redis_url)
        try:
            return await store.user_state(user)
        finally:
            await store.close()

    return asyncio.run(read())


def index(item: str) -> int:
    return int(item.removeprefix("item-"))


def unit(release: Release, items: list[int] | int) -> NDArray[Any]:
    vectors = np.asarray(release.array("item_vectors"))[items]
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def explained(user: str) -> dict[str, Any]:
    return {"user_id": user, "k": 100, "reasons": True}


def of_kind(items: list[RecommendedItem], kind: str) -> list[RecommendedItem]:
    return [item for item in items if item["reason"]["kind"] == kind]


def test_reasons_are_off_by_default_and_change_nothing_else(ask_in_turn: AskInTurn) -> None:
    request = {"user_id": "user-1", "k": 50}
    plain, with_reasons = ask_in_turn(request, request | {"reasons": True})
    assert all("reason" not in item for item in plain["items"])
    assert [{k: v for k, v in item.items() if k != "reason"} for item in with_reasons["items"]] == plain["items"]
    assert all(item["reason"]["text"] for item in with_reasons["items"])


def test_covisitation_names_the_item_that_contributed_most(
    published: Release, ask_in_turn: AskInTurn, redis_url: str
) -> None:
    neighbours, weights = published.array("neighbours"), published.array("neighbour_weights")
    checked = 0
    for user, answer in zip(KNOWN, ask_in_turn(*map(explained, KNOWN)), strict=True):
        newest_first = state_of(published, redis_url, user).events.items[::-1].tolist()
        for item in of_kind(answer["items"], "history"):
            sums = dict.fromkeys(newest_first, 0.0)
            for age, mine in enumerate(newest_first):
                row = zip(neighbours[mine].tolist(), weights[mine].tolist(), strict=True)
                sums[mine] += sum(weight for other, weight in row if other == index(item["item_id"])) * np.exp(
                    -age / MEMORY
                )
            evidence = item["reason"]["evidence"]
            named = index(evidence["item_id"])
            assert sums[named] == max(sums.values()) > 0
            assert evidence["share"] == pytest.approx(sums[named] / sum(sums.values()), abs=1e-3)
            checked += 1
    assert checked > 50


def test_the_retriever_names_the_nearest_item_of_the_history_only_if_it_is_near(
    published: Release, ask_in_turn: AskInTurn, redis_url: str
) -> None:
    kinds = {"similar": 0, "picked": 0}
    for user, answer in zip(KNOWN, ask_in_turn(*map(explained, KNOWN)), strict=True):
        state = state_of(published, redis_url, user)
        history = sorted(set(state.events.items.tolist()))
        for item in answer["items"]:
            reason, own = item["reason"], index(item["item_id"])
            if reason["kind"] not in kinds:
                continue
            cosines = unit(published, history) @ unit(published, own)
            nearest = history[int(cosines.argmax())]
            others = [other for other in range(1, ITEMS + 1) if other not in (nearest, own)]
            bar = max(
                0.5, float(np.quantile(unit(published, others) @ unit(published, nearest), 0.99, method="higher"))
            )
            kinds[reason["kind"]] += 1
            if reason["kind"] == "picked":
                assert cosines.max() < bar + 1e-5
                assert reason["text"] == f"picked for you from your history of {len(state.history.items)} events"
                continue
            assert index(reason["evidence"]["item_id"]) == nearest
            assert reason["evidence"]["cosine"] == pytest.approx(float(cosines.max()), abs=1e-3)
            assert cosines.max() >= bar - 1e-5
    assert min(kinds.values()) > 0, kinds


@pytest.mark.parametrize("repeats", ["hide", "allow", "demote"])
def test_no_reason_names_an_item_or_event_that_the_user_does_not_have(
    published: Release, ask_in_turn: AskInTurn, redis_url: str, repeats: str
) -> None:
    users, repeated = [*KNOWN, "nobody"], 0
    answers = ask_in_turn(*(explained(user) | {"repeats": repeats} for user in users))
    for user, answer in zip(users, answers, strict=True):
        events = state_of(published, redis_url, user).events
        done = {(f"item-{i}", SCHEMA.events[code - 1]) for i, code in zip(events.items, events.events, strict=True)}
        taken = {item for item, _ in done}
        for item in answer["items"]:
            reason = item["reason"]
            named = [f"item-{number}" for number in re.findall(r"title (\d+)", reason["text"])]
            assert set(named) <= taken
            if named:
                assert (named[0], reason["evidence"]["event"]) in done
            if reason["kind"] == "repeat":
                repeated += 1
                mine = (np.flatnonzero(events.items == index(item["item_id"]))).tolist()
                assert reason["evidence"]["times"] <= len(mine)
                assert (item["item_id"], reason["evidence"]["event"]) in done
                assert reason["evidence"]["last"] in events.timestamps[mine]
            if user == "nobody":
                assert reason["kind"] == "popular"
    assert (repeated > 0) == (repeats != "hide")


def test_popular_items_name_their_rank_and_the_requested_category(published: Release, ask_in_turn: AskInTurn) -> None:
    popular = published.array("popular").tolist()
    [answer] = ask_in_turn(explained("nobody") | {"filters": {"categories": ["toys"]}})
    for item in answer["items"]:
        reason = item["reason"]
        assert reason["text"] == "popular in toys"
        if reason["evidence"]["list"] == "trending":
            assert reason["evidence"]["rank"] == popular.index(index(item["item_id"])) + 1


def test_a_query_is_named(ask_in_turn: AskInTurn) -> None:
    [answer] = ask_in_turn({"k": 5, "reasons": True, "query": {"text": 'a "red" ball'}})
    first = answer["items"][0]["reason"]
    assert first["text"] == 'close to your search “a "red" ball”'
    assert first["kind"] == "query"
    ranks = [item["reason"]["evidence"]["rank"] for item in answer["items"] if item["reason"]["kind"] == "query"]
    assert ranks[:1] == [1]
    assert len(set(ranks)) == len(ranks)


def test_reasons_are_given_over_all_protocols_and_with_reuse(serve_published: Any) -> None:
    asked: list[protocols.Instance] = [{"user_id": "user-3", "k": 20, "reasons": True}]
    with serve_published(reuse_s=5.0) as server:
        with protocols.http(server.ports[0]) as http, protocols.grpc(server.ports[1]) as calls:
            plain = protocols.over_http_v1(http, [{"user_id": "user-3", "k": 20}])
            answers = [
                protocols.over_http_v1(http, asked)[0],
                protocols.over_http_v2(http, asked)[0],
                protocols.over_grpc(calls, asked)[0],
            ]
        status, body = server.v1({"user_id": "user-3", "reasons": 1})
    assert "reused_ms" in answers[2]
    assert [answer["items"] for answer in answers] == [answers[0]["items"]] * 3
    assert all(item["reason"]["text"] for item in answers[0]["items"])
    assert "reason" not in plain[0]["items"][0]
    assert (status, body["error"]) == (400, "instances[0].reasons: must be true or false, got 1")


@pytest.mark.parametrize(
    ("event", "because", "similar", "before"),
    [
        ("buy", "because you bought X", "similar to X, which you bought", "you bought it 2 times before"),
        (
            "Add-to-cart",
            "because you put in your cart X",
            "similar to X, which you put in your cart",
            "you put it in your cart 2 times before",
        ),
        (
            "listen",
            "because you listened to X",
            "similar to X, which you listened to",
            "you listened to it 2 times before",
        ),
        (
            "rated_5",
            "because of your event rated_5 with X",
            "similar to X, with which you had rated_5",
            "you had the event rated_5 with it 2 times before",
        ),
    ],
)
def test_the_words_are_those_of_the_event_type(event: str, because: str, similar: str, before: str) -> None:
    assert words.because(event, "X") == because
    assert words.similar(event, "X") == similar
    assert words.before(event, 2) == before


def test_the_forms_of_requests_have_reasons_of_their_own(published: Release, ask_in_turn: AskInTurn) -> None:
    like, complements, ranked, newest, session = ask_in_turn(
        {"like": "item-7", "k": 50, "reasons": True},
        {"like": "item-7", "relation": "complementary", "k": 5, "reasons": True},
        {"rank": ["item-9", "item-8"], "reasons": True},
        {"list": "new", "k": 5, "reasons": True},
        {"items": [{"item_id": "item-7", "event": "buy"}], "k": 50, "reasons": True},
    )
    texts = {item["reason"]["text"] for item in like["items"]}
    assert texts == {"similar to title 7", "the nearest to title 7 that is left"}
    for item in like["items"]:
        cosine = float(unit(published, 7) @ unit(published, index(item["item_id"])))
        assert item["reason"]["evidence"] == {"item_id": "item-7", "cosine": pytest.approx(cosine, abs=1e-3)}
    table = dict(zip(published.array("neighbours")[7].tolist(), published.array("neighbour_weights")[7], strict=True))
    found = of_kind(complements["items"], "together")
    assert found
    for item in found:
        assert item["reason"]["text"] == "often taken together with title 7"
        assert item["reason"]["evidence"]["weight"] == pytest.approx(table[index(item["item_id"])], abs=1e-3)
    places = {item["item_id"]: item["reason"] for item in ranked["items"]}
    for place, item_id in enumerate(["item-9", "item-8"], start=1):
        if places[item_id]["kind"] == "own":
            assert places[item_id]["evidence"] == {"place": place}
    assert {item["reason"]["kind"] for item in newest["items"]} == {"new"}
    named = {item["reason"]["evidence"]["item_id"] for item in of_kind(session["items"], "history")}
    assert named == {"item-7"}
