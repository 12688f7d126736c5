"""What an id holds, what may be sent with it, and which ids are refused."""

import base64
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from tests.support.transformer_fixtures import AskInTurn
from winnow.fields import QUOTED
from winnow.request import Answer, InvalidRequest
from winnow.store.connection import connect
from winnow.store.keys import IMPRESSIONS


def next_page(**more: Any) -> Callable[[list[Answer]], dict[str, Any]]:
    return lambda answers: {"recommendation_id": answers[-1]["recommendation_id"], **more}


def shown(answer: Answer) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def test_the_next_page_is_of_the_same_request(ask_in_turn: AskInTurn) -> None:
    filters = {"categories": ["toys"], "exclude_items": ["item-7"]}
    request = {"user_id": "user-1", "k": 6, "filters": filters, "repeats": "allow", "diversity": 0.9}
    first, second, third = ask_in_turn(request, next_page(debug=True), next_page(k=2, user_id="user-1"))
    [whole] = ask_in_turn(request | {"k": 14, "debug": True})
    assert second["trace"]["repeats"] == "allow"
    toys = {c["item_id"] for c in whole["trace"]["candidates"] if c.get("features", {}).get("category") == "toys"}
    assert set(shown(first) + shown(second) + shown(third)) <= toys - {"item-7"}
    assert [len(answer["items"]) for answer in (first, second, third)] == [6, 6, 2]
    assert len({*shown(first), *shown(second), *shown(third)}) == 14
    positions = {c["item_id"]: c["position"] for c in second["trace"]["candidates"] if "position" in c}
    assert positions == {item["item_id"]: item["position"] for item in second["items"]}
    removed = [c for c in second["trace"]["candidates"] if c.get("reason") == "on an earlier page"]
    assert {c["item_id"] for c in removed} == set(shown(first))


def test_pages_end_with_the_catalog(ask_in_turn: AskInTurn) -> None:
    *pages, last = ask_in_turn({"user_id": "nobody", "k": 100}, *[next_page()] * 3)
    assert [len(page["items"]) for page in pages] == [100, 100, 70]
    assert last["items"] == []
    assert len({item for page in pages for item in shown(page)}) == 270


def test_each_page_has_its_impression(ask_in_turn: AskInTurn, redis_url: str) -> None:
    with connect(redis_url) as redis:
        redis.delete(IMPRESSIONS)
        answers = ask_in_turn({"user_id": "user-1", "k": 5}, next_page(), next_page(k=3))
        entries = [entry for _, entry in redis.xrange(IMPRESSIONS)]
    assert [entry[b"recommendation_id"].decode() for entry in entries] == [
        answer["recommendation_id"][:QUOTED] for answer in answers
    ]
    assert [int(entry.get(b"first", 0)) for entry in entries] == [0, 5, 10]
    positions = [item["position"] for entry in entries for item in orjson.loads(entry[b"items"])]
    assert positions == list(range(13))


def test_a_reused_answer_has_an_id_of_its_own(ask_in_turn: AskInTurn) -> None:
    request = {"user_id": "user-1", "k": 5}
    first, again, second, second_again = ask_in_turn(
        request, request, next_page(), lambda answers: {"recommendation_id": answers[1]["recommendation_id"]}, reuse_s=5
    )
    assert "reused_ms" in again
    assert first["recommendation_id"] != again["recommendation_id"]
    assert "reused_ms" in second_again
    assert shown(second) == shown(second_again)
    assert not set(shown(first)) & set(shown(second))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"user_id": "user-2"}, "instances[0].user_id: differs from that of the recommendation"),
        ({"filters": {"categories": ["toys"]}}, "instances[0].filters: differs from that of the recommendation"),
    ],
)
def test_a_page_of_another_request_is_refused(ask_in_turn: AskInTurn, more: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        ask_in_turn({"user_id": "user-1"}, next_page(**more))
    assert str(refused.value).startswith(message)


def other_user(given: str) -> str:
    name, _, text = given.partition(".")
    content = base64.urlsafe_b64decode(text).replace(b'"user-1"', b'"user-2"')
    return f"{name}.{base64.urlsafe_b64encode(content).decode()}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (other_user, "is not that of an answer of this service"),
        (lambda given: "A" * 16 + given[16:], "is not that of an answer of this service"),
        (lambda given: given[:-4], "is not that of an answer of this service"),
        (lambda given: "\u0634\u0646\u0627\u0633\u0647", "is not that of an answer of this service"),
        (lambda given: "\x00.\x00", "is not that of an answer of this service"),
        (lambda given: "a.b" * 2000, "is not that of an answer of this service"),
        (lambda given: given[:16], "has no next page, because it is cut at the dot"),
    ],
)
def test_an_id_that_was_not_issued_is_refused(
    ask_in_turn: AskInTurn, change: Callable[[str], str], message: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        ask_in_turn(
            {"user_id": "user-1"}, lambda answers: {"recommendation_id": change(answers[0]["recommendation_id"])}
        )
    assert str(refused.value).startswith(f"instances[0].recommendation_id: {message}")


def test_large_requests_are_sent_again(ask_in_turn: AskInTurn) -> None:
    request = {"user_id": "user-1", "k": 5, "filters": {"exclude_items": [f"{'x' * 40}{n}" for n in range(100)]}}
    first, second = ask_in_turn(request, next_page(**request))
    assert len(first["recommendation_id"]) < 150
    assert not set(shown(first)) & set(shown(second))
    with pytest.raises(InvalidRequest, match="too large to be part of it; send all fields"):
        ask_in_turn(request, next_page())
    with pytest.raises(InvalidRequest, match="has other fields than the request of its recommendation_id"):
        ask_in_turn(request, next_page(**request | {"user_id": "user-2"}))


def test_without_the_key_a_page_is_empty_and_degraded(ask_in_turn: AskInTurn) -> None:
    [first] = ask_in_turn({"user_id": "user-1", "k": 5})
    away = "redis://127.0.0.1:1/0"
    plain, page = ask_in_turn({"user_id": "user-1"}, {"recommendation_id": first["recommendation_id"]}, url=away)
    assert len(plain["items"]) == 10
    assert len(plain["recommendation_id"]) == QUOTED
    assert page["items"] == []
    assert page["degraded"] == ["pages: Redis has not answered since this process started"]
    with pytest.raises(InvalidRequest, match="cut at the dot, or was made while Redis was away"):
        ask_in_turn({"recommendation_id": plain["recommendation_id"]})
