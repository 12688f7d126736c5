"""The next page repeats nothing: over all protocols, from any process, after events, and from another release."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.tiny_release import write_release
from tests.support.transformer_server import Server, serving_published
from winnow import protocols
from winnow.request import Answer
from winnow.store.publish import publish

PAGES, K = 20, 50
PROTOCOLS = ("v1", "v2", "grpc")


def shown(answer: Answer) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def over(protocol: str, server: Server, instance: protocols.Instance) -> Answer:
    if protocol == "grpc":
        with protocols.grpc(server.ports[1]) as calls:
            [answer] = protocols.over_grpc(calls, [instance])
        return answer
    with protocols.http(server.ports[0]) as http:
        [answer] = (protocols.over_http_v1 if protocol == "v1" else protocols.over_http_v2)(http, [instance])
    return answer


def protocol_of(choice: str) -> Callable[[int], str]:
    return lambda page: PROTOCOLS[page % 3] if choice == "mixed" else choice


@pytest.mark.parametrize("choice", [*PROTOCOLS, "mixed"])
def test_twenty_pages_of_two_processes_repeat_nothing_while_events_arrive(
    two_processes: tuple[Server, Server], choice: str
) -> None:
    instance: protocols.Instance = {"user_id": f"user-{len(choice)}", "k": K}
    items: list[str] = []
    for page in range(PAGES):
        answer = over(protocol_of(choice)(page), two_processes[page % 2], instance)
        assert not answer["degraded"]
        assert [item["position"] for item in answer["items"]] == list(range(page * K, (page + 1) * K))
        items += shown(answer)
        instance = {"recommendation_id": answer["recommendation_id"]}
        with protocols.http(two_processes[page % 2].ports[0]) as http:
            taken = {"user_id": answer["user_id"], "item_id": items[-1], "event": "buy"}
            protocols.send_events(http, [taken | {"recommendation_id": answer["recommendation_id"]}])
    assert len(items) == len(set(items)) == PAGES * K
    status, body = two_processes[0].v1(instance)
    assert status == 400
    assert "instances[0].recommendation_id: has no further page, because 1000 items were shown" in body["error"]


def test_a_page_may_be_asked_of_another_release(redis_url: str, tmp_path: Path) -> None:
    with ExitStack() as running:
        servers = []
        for number in (6012, 6013):
            release = write_release(tmp_path, number, seed=number)
            publish(release.folder, redis_url, show_progress=False)
            servers.append(running.enter_context(serving_published(release, redis_url, tmp_path / f"{number}.log")))
        old, new = servers
        first = over("v1", old, {"user_id": "user-1", "k": 100})
        second = over("v1", new, {"recommendation_id": first["recommendation_id"]})
        third = over("grpc", old, {"recommendation_id": second["recommendation_id"], "k": 20})
    assert (first["release"], second["release"], len(third["items"])) == (6012, 6013, 20)
    items = shown(first) + shown(second) + shown(third)
    assert len(items) == len(set(items)) == 220


def test_requests_of_one_call_have_pages_of_their_own(two_processes: tuple[Server, Server]) -> None:
    one, other = two_processes
    _, body = one.v1({"user_id": "user-1", "k": 7}, {"query": {"text": "a red ball"}, "k": 3})
    ids = [answer["recommendation_id"] for answer in body["predictions"]]
    status, second = other.v1(*({"recommendation_id": one} for one in ids))
    assert status == 200, second
    answers: list[Any] = second["predictions"]
    assert [(answer["user_id"], len(answer["items"])) for answer in answers] == [("user-1", 7), (None, 3)]
    for before, after in zip(body["predictions"], answers, strict=True):
        assert not set(shown(before)) & set(shown(after))
