"""Changes of any item reach every process of every release, and are the same there and in the next build."""

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from redis import Redis

from tests.support.media import picture
from tests.support.tiny_release import write_release
from tests.support.transformer_server import Server, serving_published
from tests.support.until import until
from winnow.datasets.canonical.raw import RawFile, RawTable
from winnow.datasets.catalog_changes import overlays
from winnow.feedback import export_files
from winnow.feedback.change_files import CHANGE_TABLE
from winnow.feedback.export import export
from winnow.local import redis as local_redis
from winnow.ports import Ports
from winnow.release import Release
from winnow.retrieval import offline_lists
from winnow.store.keys import CHANGED_MEDIA, CHANGES, LATEST_CHANGES, Keys
from winnow.store.publish import publish


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """A Redis of its own: the stream of changes belongs to no release."""
    port = Ports.free().redis
    with local_redis.server(tmp_path / "redis", port, tmp_path / "redis.log"):
        yield local_redis.url(port)


@pytest.fixture
def released(tmp_path: Path, redis_url: str) -> Release:
    release = write_release(tmp_path, 1)
    publish(release.folder, redis_url, show_progress=False)
    return release


@pytest.fixture
def two(released: Release, redis_url: str, tmp_path: Path) -> Iterator[tuple[Server, Server]]:
    """Two transformers of one release, which hold answers."""
    with ExitStack() as stack:
        one, other = (
            stack.enter_context(serving_published(released, redis_url, tmp_path / f"{n}.log", reuse_s=60.0))
            for n in range(2)
        )
        yield one, other


def change(server: Server, item_id: str, action: str = "upsert", **fields: Any) -> dict[str, Any]:
    status, body = server.v1({"item_id": item_id, "action": action, **fields}, model="items")
    assert status == 200, body
    answer: dict[str, Any] = body["predictions"][0]
    return answer


def read(server: Server, item_id: str) -> dict[str, Any]:
    return change(server, item_id, "read")


def shown(server: Server, **request: Any) -> list[str]:
    status, body = server.v1({"k": 100, "deadline_ms": 10_000, **request})
    assert status == 200, body
    return [item["item_id"] for item in body["predictions"][0]["items"]]


def traced(server: Server, item_id: str, **request: Any) -> dict[str, Any]:
    body = server.v1({"k": 100, "deadline_ms": 10_000, "debug": True, **request})[1]["predictions"][0]
    return next((c for c in body["trace"]["candidates"] if c["item_id"] == item_id), {})


def everywhere(servers: tuple[Server, ...], holds: Any) -> None:
    for server in servers:
        until(lambda server=server: holds(server), seconds=20.0)


def test_an_item_of_the_release_is_taken_down_and_put_back_in_every_process(two: tuple[Server, Server]) -> None:
    user = {"user_id": "user-3"}
    item = shown(two[0], **user)[0]
    assert item in shown(two[1], **user)
    answer = change(two[0], item, "disable")
    assert (answer["state"], answer["changed"], answer["replaced"]) == ("disabled", True, True)
    everywhere(two, lambda server: item not in shown(server, **user))
    assert read(two[1], item)["state"] == "disabled"
    assert change(two[1], item, "enable")["state"] == "changed"
    everywhere(two, lambda server: item in shown(server, **user))


def test_absent_fields_stay_and_null_clears(two: tuple[Server, Server]) -> None:
    before = read(two[0], "item-7")
    assert before["state"] == "release"
    assert before["document"]["price"] == 7.0
    change(two[0], "item-7", price=9.5, features={"grams": 12})
    answer = change(two[1], "item-7", title=None, clear=["tags"])
    assert answer["state"] == "changed"
    expected = {k: v for k, v in before["document"].items() if k not in ("title", "tags")}
    for server in two:
        assert read(server, "item-7")["document"] == expected | {"price": 9.5, "grams": 12.0}
    tensors = [
        {"name": name, "datatype": "BYTES", "shape": [1], "data": [value]}
        for name, value in (("item_id", "item-7"), ("clear", '["price"]'), ("action", "upsert"))
    ]
    status, body = two[0].v2(*tensors, model="items")
    assert (status, json.loads(body["outputs"][0]["data"][0])["changed"]) == (200, True)
    assert "price" not in read(two[1], "item-7")["document"]


def test_a_new_category_counts_for_filters_and_a_new_title_is_shown(two: tuple[Server, Server]) -> None:
    books, toys = ({"user_id": "user-3", "filters": {"categories": [name]}} for name in ("books", "toys"))
    item = shown(two[0], **books)[0]
    assert item not in shown(two[1], **toys)
    change(two[0], item, category="toys", title="A purple zebra", image=picture("blue"))
    everywhere(two, lambda server: item in shown(server, **toys) and item not in shown(server, **books))
    for server in two:
        answer = server.v1({"k": 100, "deadline_ms": 10_000, **toys})[1]["predictions"][0]
        [mine] = [one for one in answer["items"] if one["item_id"] == item]
        assert mine["title"] == "A purple zebra"


def test_a_deleted_item_never_appears_again(two: tuple[Server, Server], released: Release, redis_url: str) -> None:
    client, keys = Redis.from_url(redis_url), Keys(1)
    user = {"user_id": "user-3"}
    item = shown(two[0], **user)[0]
    index = int(item.removeprefix("item-"))
    client.set(keys.trending, np.array([index, 5, 6], "<i4").tobytes())
    client.hset(keys.lists, "task", "x")
    client.set(keys.offline_list("user-3"), offline_lists.encode(np.array([index, 8, 9], np.int32)))
    new = change(two[1], "fresh one", title="Fresh")
    assert new["state"] == "new"
    everywhere(two, lambda server: read(server, "fresh one")["state"] == "new")
    for gone in (item, "fresh one"):
        assert change(two[0], gone, "delete")["state"] == "deleted"
        # Again: it is deleted, and nothing changes.
        assert change(two[1], gone, "delete")["changed"] is False
    requests: list[dict[str, Any]] = [
        user,
        {"user_id": "a newcomer"},
        {"query": {"text": "Fresh"}},
        {"user_id": "user-3", "query": {"text": f"title {index}"}},
        {"user_id": "user-3", "filters": {"categories": ["books", "games", "music", "toys"]}},
    ]
    for request in requests:
        everywhere(two, lambda server, r=request: not {item, "fresh one"} & set(shown(server, **r)))
    for server in two:
        assert read(server, item)["document"] == read(server, "fresh one")["document"] == {}
        status, body = server.v1({"user_id": "user-3", "item_id": item, "event": "view"}, model="events")
        assert (status, "must be an item of the catalog" in body["error"]) == (400, True)
        status, body = server.v1({"item_id": item, "action": "enable"}, model="items")
        assert (status, "must be an item of the catalog to enable it" in body["error"]) == (400, True)
    assert not client.exists(keys.item(item))
    # An upsert revives it with nothing of what it was.
    assert change(two[1], item, price=2.0)["state"] == "changed"
    everywhere(two, lambda server: read(server, item)["document"] == {"price": 2.0, "available": True})
    everywhere(two, lambda server: traced(server, item, **user).get("removed_by", "") != "unknown")


def test_the_last_write_of_the_stream_wins_everywhere(
    two: tuple[Server, Server], redis_url: str, tmp_path: Path
) -> None:
    """Two processes change one item at once, by different and by the same fields."""

    def write(number: int) -> None:
        for n in range(30):
            change(two[number], "item-9", price=float(100 * number + n), **({"title": f"t{n}"} if number else {}))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    document = read(two[0], "item-9")["document"]
    assert document["title"] == "t29"
    everywhere(
        two,
        lambda server: (
            traced(server, "item-9", user_id="user-3") == {} or read(server, "item-9")["document"] == document
        ),
    )
    versions = {server.url: read(server, "item-9")["version"] for server in two}
    assert len(set(versions.values())) == 1
    client = Redis.from_url(redis_url)
    [(_, newest)] = client.xrevrange(CHANGES, count=1)
    assert json.loads(newest[b"document"])["price"] == document["price"]
    assert client.hget(Keys(1).live_item_versions, "item-9").decode() == versions[two[0].url]
    exported = export(str(tmp_path / "out"), redis_url, show_progress=False)
    assert exported.changes == 60
    parts = [RawFile(a, pq.read_table(a)) for a in export_files.written(str(tmp_path / "out"), CHANGE_TABLE)]
    applied = overlays("x", "/", RawTable("catalog/", tuple(parts)))["item-9"]
    assert {name: applied.values[name] for name in ("title", "price")} == {
        name: document[name] for name in ("title", "price")
    }
    assert client.xlen(CHANGES) == 0


def test_sending_a_change_again_changes_nothing(two: tuple[Server, Server], redis_url: str) -> None:
    client = Redis.from_url(redis_url)
    assert change(two[0], "item-4", price=3.0)["changed"] is True
    assert change(two[1], "item-4", price=3.0)["changed"] is False
    assert client.xlen(CHANGES) == 1
    assert change(two[0], "item-4", price=5.0, change_id="c-1")["changed"] is True
    assert change(two[1], "item-4", price=6.0)["changed"] is True
    # It came late, and was applied before.
    assert change(two[1], "item-4", price=5.0, change_id="c-1")["changed"] is False
    assert read(two[0], "item-4")["document"]["price"] == 6.0
    assert client.xlen(CHANGES) == 3
    assert client.xlen(LATEST_CHANGES) == client.xlen(Keys(1).live_item_stream) == 1


def test_changes_survive_restarts_and_reach_other_releases(released: Release, redis_url: str, tmp_path: Path) -> None:
    client = Redis.from_url(redis_url)
    with serving_published(released, redis_url, tmp_path / "1.log") as server:
        change(server, "item-2", price=1.5, image=picture("red"))
        change(server, "item-3", "delete")
        change(server, "brand new", title="Brand new", category="toys")
    read_by_build = client.xrevrange(CHANGES, count=1)[0][0].decode()
    assert int(client.get(CHANGED_MEDIA)) > 0
    with serving_published(released, redis_url, tmp_path / "2.log") as server:
        assert [read(server, name)["state"] for name in ("item-2", "item-3", "brand new")] == [
            "changed",
            "deleted",
            "new",
        ]
        assert "item-3" not in shown(server, user_id="user-3")
        # Another release, whose data had none of it; and one whose data had all of it.
        (tmp_path / "more").mkdir()
        second = write_release(tmp_path / "more", 2, seed=1)
        third = write_release(tmp_path / "more", 3, seed=1, catalog_position=read_by_build)
        for release in (second, third):
            publish(release.folder, redis_url, show_progress=False)
        with (
            serving_published(second, redis_url, tmp_path / "3.log") as canary,
            serving_published(third, redis_url, tmp_path / "4.log") as built,
        ):
            assert "item-3" not in shown(canary, user_id="user-3")
            assert canary.v1({"user_id": "u", "item_id": "brand new", "event": "view"}, model="events")[0] == 200
            assert built.v1({"user_id": "u", "item_id": "brand new", "event": "view"}, model="events")[0] == 400
            assert built.v1({"user_id": "u", "item_id": "item-3", "event": "view"}, model="events")[0] == 200
            # Each of them gets what the others take.
            change(canary, "item-6", "delete")
            change(server, "item-8", "delete")
            for name in ("item-6", "item-8"):
                event = {"user_id": "u", "item_id": name, "event": "view"}
                everywhere((server, canary, built), lambda each, e=event: each.v1(e, model="events")[0] == 400)
    # What every release has read is forgotten once the others are gone.
    client.hdel("{catalog}:releases", "1", "2")
    export(str(tmp_path / "out"), redis_url, show_progress=False)
    assert client.xlen(LATEST_CHANGES) == 2
    assert int(client.get(CHANGED_MEDIA)) == 0
    assert len(list((tmp_path / "out" / "catalog" / "media").iterdir())) == 1


def test_without_redis_nothing_is_acknowledged(released: Release, tmp_path: Path) -> None:
    port = Ports.free().redis
    with local_redis.server(tmp_path / "other", port, tmp_path / "other.log"):
        publish(released.folder, local_redis.url(port), show_progress=False)
        with ExitStack() as stack:
            server = stack.enter_context(serving_published(released, local_redis.url(port), tmp_path / "s.log"))
            client = Redis.from_url(local_redis.url(port))
            client.shutdown(nosave=True)
            for action in ("upsert", "disable", "delete", "read"):
                status, body = server.v1({"item_id": "item-2", "action": action}, model="items")
                assert (status, "Redis cannot be" in body["error"]) == (503, True)
