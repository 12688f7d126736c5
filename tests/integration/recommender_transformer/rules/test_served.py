"""Rules over all three protocols, and live rules in every process of a release, also one that starts later."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.transformer_server import Server, serving_published
from tests.support.until import until
from winnow import protocols
from winnow.release import Release
from winnow.request import Answer

Ask = Callable[..., list[Answer]]

RULES = """
filters: {cheap: price < 150, tagged: tags is not null}
always: [cheap]
boosts: [{where: 'category = "toys"', factor: 4, name: toys}]
pins: [{item_id: item-2, position: 1}]
caps: {category: 3}
"""
REQUESTS: list[dict[str, Any]] = [
    {"filters": {"named": ["tagged"]}},
    {"boosts": [{"where": "price < 90", "factor": 0.2}]},
    {"pins": [{"item_id": "item-4", "position": 0}]},
    {"caps": {"tags": 2}},
    {"caps": {"category": 2}, "boosts": [{"where": "tags = 'red'", "factor": 9.5}]},
]


@pytest.fixture
def two(published: Release, redis_url: str, tmp_path: Path) -> Iterator[list[Server]]:
    with ExitStack() as exits:
        yield [
            exits.enter_context(serving_published(published, redis_url, tmp_path / f"server-{n}.log")) for n in range(2)
        ]


def version(server: Server) -> int:
    """The version of the rules that a process answers by; 0 for those of the release."""
    _, body = server.v1({"user_id": "user-1", "k": 1, "debug": True})
    rules = body["predictions"][0]["trace"]["rules"]
    return 0 if rules is None else int(rules["version"])


def wait_for(servers: list[Server], expected: int) -> None:
    until(lambda: all(version(server) == expected for server in servers), 30)


def test_every_protocol_gives_what_the_funnel_gives_in_this_process(
    ask: Ask, set_rules: Any, serve_published: Any
) -> None:
    set_rules(RULES)
    requests = [{"user_id": user, "k": 8, **one} for one in REQUESTS for user in ("user-1", "nobody")]
    expected = [answer["items"] for answer in ask(*requests)]
    with serve_published() as server:
        http_port, grpc_port = server.ports
        with protocols.http(http_port) as endpoint, closing(protocols.grpc(grpc_port)) as grpc:
            over = (
                [protocols.over_http_v1(endpoint, [request])[0] for request in requests],
                [protocols.over_http_v2(endpoint, [request])[0] for request in requests],
                [protocols.over_grpc(grpc, [request])[0] for request in requests],
            )
    for answers in over:
        assert [answer["degraded"] for answer in answers] == [[]] * len(requests)
        for answer, items in zip(answers, expected, strict=True):
            assert [item["item_id"] for item in answer["items"]] == [item["item_id"] for item in items]
            assert [item["sources"] for item in answer["items"]] == [item["sources"] for item in items]
            assert [item["score"] for item in answer["items"]] == pytest.approx([item["score"] for item in items])


def test_live_rules_are_in_force_in_every_process_and_survive_a_restart(
    two: list[Server], set_rules: Any, published: Release, redis_url: str, tmp_path: Path
) -> None:
    assert [version(server) for server in two] == [0, 0]
    for factor in (2, 3, 4):
        latest = set_rules(f"boosts: [{{where: price < 90, factor: {factor}}}]")
        wait_for(two, latest)
    with serving_published(published, redis_url, tmp_path / "later.log") as later:
        assert version(later) == latest, "from its first answer on"
    set_rules("")
    wait_for(two, 0)


def test_events_of_a_served_user_refresh_what_they_were_shown(two: list[Server], set_rules: Any) -> None:
    one, other = two
    latest = set_rules("fatigue: {after: 1, weight: 0.5, half_life_hours: 24}")
    wait_for(two, latest)
    request = {"user_id": "user-5", "k": 3, "debug": True, "repeats": "allow"}

    def tired(server: Server) -> set[str]:
        _, body = server.v1(request | {"filters": {"exclude_items": []}})
        return {one["item_id"] for one in body["predictions"][0]["trace"]["candidates"] if "fatigue" in one}

    first = [item["item_id"] for item in one.v1(request)[1]["predictions"][0]["items"]]
    until(lambda: set(first) <= tired(other), 30)

    def refreshed() -> bool:
        """Whether the item is as before in the other process, from the next answer after an event on."""
        status, _ = one.v1({"user_id": "user-5", "item_id": first[0], "event": "view"}, model="events")
        assert status == 200
        return first[0] not in tired(other)

    # An answer before may be written as shown only after the first event.
    until(refreshed, 30)
