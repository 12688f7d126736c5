"""Which fields may be combined, and bounds of the fields, over every protocol."""

import itertools
import json
from typing import Any

import pytest
from pydantic import ValidationError

from tests.support.transformer_server import Server
from winnow import client
from winnow.errors import WinnowError
from winnow.request import MAX_K, MAX_RANKED, MAX_SESSION, RecommendRequest, parse_all

SESSION = [{"item_id": "item-1"}]
VALUES: dict[str, Any] = {
    "user_id": "user-1",
    "query": {"text": "a red ball"},
    "items": SESSION,
    "like": "item-3",
    "relation": "complementary",
    "rank": ["item-1", "item-2"],
    "list": "popular",
    "filters": {"categories": ["books"]},
    "objectives": {"buy": 2.0},
    "diversity": 0.5,
    "repeats": "allow",
    "debug": True,
    "k": 5,
    "deadline_ms": 5000,
}
PAIRS = [
    ("list", "query"),
    ("list", "like"),
    ("list", "rank"),
    ("list", "objectives"),
    ("list", "diversity"),
    ("list", "repeats"),
    ("list", "relation"),
    ("list", "items"),
    ("rank", "like"),
    ("rank", "relation"),
    ("rank", "diversity"),
    ("like", "query"),
]


def clashes(given: set[str]) -> bool:
    return any({one, other} <= given for one, other in PAIRS) or ("relation" in given and "like" not in given)


def test_every_combination_is_answered_or_refused_with_both_fields(ask: Any) -> None:
    optional = [name for name in VALUES if name not in ("debug", "k", "deadline_ms", "filters")]
    accepted = []
    for count in range(1, 6):
        for names in itertools.combinations(optional, count):
            instance = {name: VALUES[name] for name in names}
            try:
                RecommendRequest.model_validate(instance)
            except ValidationError as error:
                [message] = [one["msg"] for one in error.errors()]
                if set(names) & {"user_id", "query", "items", "like", "rank", "list"}:
                    assert clashes(set(names)), names
                    assert "cannot be combined with" in message or ".relation: needs like" in message
                else:
                    assert message.startswith(".user_id: is required")
            else:
                assert not clashes(set(names)), names
                accepted.append(instance)
    assert len(accepted) > 60
    answers = ask(*(one | {"k": 4, "filters": VALUES["filters"], "debug": True} for one in accepted))
    assert all(answer["degraded"] == [] for answer in answers)
    assert all("trace" in answer for answer in answers)


REFUSED = [
    ({"list": "popular", "user_id": "u", "query": {"text": "a"}}, ".list: cannot be combined with query"),
    ({"rank": ["a"], "like": "item-1"}, ".rank: cannot be combined with like"),
    ({"like": "item-1", "query": {"text": "a"}}, ".like: cannot be combined with query"),
    ({"user_id": "u", "relation": "similar"}, ".relation: needs like, the item that others are related to"),
    ({"list": "last_seen"}, ".list: last_seen needs user_id or items, whose events it lists"),
    (
        {"list": "new", "items": SESSION},
        ".list: new cannot be combined with items, because the list is the same for everyone",
    ),
    ({"rank": ["item-1", "item-2", "item-1"]}, ".rank: must have distinct ids, but 'item-1' is given twice"),
    ({"rank": []}, f".rank: must be a list of 1 to {MAX_RANKED} distinct item ids, got []"),
    ({"rank": [f"i{n}" for n in range(MAX_RANKED + 1)]}, f".rank: must be a list of 1 to {MAX_RANKED} distinct item"),
    ({"rank": [7]}, ".rank[0]: must be a string of 1 to 256 characters, got 7"),
    ({"items": SESSION * (MAX_SESSION + 1)}, f".items: must be a list of at most {MAX_SESSION} events"),
    ({"items": [{}]}, ".items[0].item_id: is required, and must be a string of 1 to 256 characters"),
    ({"items": [{"item_id": "item-1", "timestamp": 5}]}, ".items[0].timestamp: must be"),
    ({"items": [{"item_id": "item-1", "amount": -1}]}, ".items[0].amount: must be a finite number, 0 or above, got -1"),
    ({"items": [{"item_id": "item-1", "event": "stare"}]}, ".items[0].event: must be one of view, buy, dislike, got"),
    ({"items": [{"item_id": "item-1", "user": "u"}]}, ".items[0].user: is not a field; the fields are item_id, event"),
    ({"items": {"item_id": "item-1"}}, f".items: must be a list of at most {MAX_SESSION} events"),
    ({"like": "gone"}, ".like: must be an item of the catalog, got 'gone'"),
    ({"like": "item-1", "relation": "near"}, ".relation: must be similar or complementary, got 'near'"),
    ({"list": "best"}, ".list: must be popular, trending, new or last_seen, got 'best'"),
    ({"user_id": "u", "k": MAX_K + 1}, f".k: must be a whole number between 1 and {MAX_K}, got {MAX_K + 1}"),
]


@pytest.mark.parametrize(("instance", "message"), REFUSED)
def test_a_wrong_request_is_a_400_over_every_protocol(server: Server, instance: Any, message: str) -> None:
    status, body = server.v1(instance)
    assert (status, body["error"][: len(message) + 12]) == (400, f"instances[0]{message}")
    http, grpc = client.http(server.ports[0]), client.grpc(server.ports[1])
    with http, grpc:
        response = http.post("/v2/models/recommender/infer", json=client.v2_body([instance]))
        assert (response.status_code, response.json()["error"][: len(message) + 12]) == (400, f"instances[0]{message}")
        with pytest.raises(WinnowError, match="INVALID_ARGUMENT") as refused:
            client.over_grpc(grpc, [instance])
        assert message in str(refused.value)


def test_the_metadata_names_every_field(server: Server) -> None:
    with client.http(server.ports[0]) as http:
        inputs = http.get("/v2/models/recommender").json()["inputs"]
    assert {one["name"] for one in inputs} == set(RecommendRequest.model_fields)


def test_a_list_of_500_comes_over_every_protocol(server: Server) -> None:
    with client.http(server.ports[0]) as http, client.grpc(server.ports[1]) as grpc:
        for instance in (
            {"user_id": "user-1", "k": 500, "deadline_ms": 5000},
            {"list": "popular", "k": 500},
            {"rank": [f"item-{n}" for n in range(1, 301)]},
        ):
            [v1] = client.over_http_v1(http, [instance])
            [v2] = client.over_http_v2(http, [instance])
            [v2_grpc] = client.over_grpc(grpc, [instance])
            lists = [[item["item_id"] for item in answer["items"]] for answer in (v1, v2, v2_grpc)]
            # All that the catalog has: 270 are available, and the user has seen some.
            assert lists[0] == lists[1] == lists[2]
            assert 200 < len(lists[0]) <= 270
            body = http.post("/v2/models/recommender/infer", json=client.v2_body([instance])).json()
            shapes = {output["name"]: output["shape"] for output in body["outputs"]}
            assert shapes["item_ids"] == [1, instance.get("k", 300)]


def test_the_default_length_of_an_own_list_is_its_own() -> None:
    [given, bounded] = parse_all(
        RecommendRequest, [{"rank": ["a", "b", "c"]}, json.loads('{"rank": ["a", "b", "c"], "k": 2}')]
    )
    assert (given.k, bounded.k) == (3, 2)
