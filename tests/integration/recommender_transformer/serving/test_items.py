"""The ``items`` model: new items over every protocol, with strict checks."""

import asyncio
import json
from typing import Any

from redis import Redis

from recommender_transformer.backends import live_items
from recommender_transformer.backends.online_store import OnlineStore
from tests.support.media import picture, sound
from tests.support.tiny_release import write_release
from tests.support.until import async_until
from winnow.signatures import NEW_ITEM_CAPACITY
from winnow.store.keys import Keys


def new(item_id: str, **fields: Any) -> dict[str, Any]:
    return {"item_id": item_id, "title": f"Title of {item_id}", "category": "books", **fields}


def shown(server: Any, **request: Any) -> list[str]:
    status, body = server.v1({"k": 100, **request})
    assert status == 200
    return [item["item_id"] for item in body["predictions"][0]["items"]]


def test_a_new_item_is_found_at_once(growing_server: Any, redis_url: str) -> None:
    whole = new(
        "whole",
        description="A picture book about a red ball.",
        price=12.5,
        available=True,
        created_at=1_790_000_000_000,
        image=picture("green"),
        audio=sound(500.0),
        features={"tags": ["red", "small", "never heard of"], "grams": 12},
    )
    status, body = growing_server.v1(whole, new("plain"), model="items")
    assert status == 200, body
    first, second = body["predictions"]
    assert (first["item_id"], first["replaced"], len(first["nearest"])) == ("whole", False, 3)
    assert second["item_id"] == "plain"
    client = Redis.from_url(redis_url)
    entries = [fields for _, fields in client.xrange(Keys(6002).live_item_stream)]
    documents = {fields[b"item_id"].decode(): json.loads(fields[b"document"]) for fields in entries}
    assert documents["whole"] == {
        "title": "Title of whole",
        "description": "A picture book about a red ball.",
        "category": "books",
        "price": 12.5,
        "created_at": 1_790_000_000_000,
        "available": True,
        "tags": ["red", "small", "never heard of"],
        "grams": 12.0,
    }
    assert documents["plain"] == {"title": "Title of plain", "category": "books", "available": True}
    assert "whole" in shown(growing_server, query={"image": picture("green"), "audio": sound(500.0)})
    answer = growing_server.v1({"query": {"text": "Title of whole"}, "k": 100})[1]["predictions"][0]
    [mine] = [item for item in answer["items"] if item["item_id"] == "whole"]
    assert mine["title"] == "Title of whole"
    # Over v2, as a replacement.
    tensors = [
        {"name": name, "datatype": kind, "shape": [1], "data": [value]}
        for name, kind, value in (
            ("item_id", "BYTES", "whole"),
            ("title", "BYTES", "Another title"),
            ("price", "FP64", 3.5),
            ("available", "BOOL", True),
            ("created_at", "INT64", 1_790_000_000_000),
            ("image", "BYTES", json.dumps(picture("green"))),
            ("features", "BYTES", '{"tags": "blue"}'),
        )
    ]
    status, body = growing_server.v2(*tensors, model="items")
    assert status == 200, body
    assert json.loads(body["outputs"][0]["data"][0])["replaced"] is True
    keys = Keys(6002)
    assert client.xlen(keys.live_item_stream) == client.hlen(keys.live_item_slots) >= 2
    # An event of the item is accepted and removes it from the user's answers.
    status, _ = growing_server.v1({"user_id": "buyer", "item_id": "whole", "event": "buy"}, model="events")
    assert status == 200


def test_a_second_transformer_of_the_release_learns_of_the_item(
    growing_server: Any,
    redis_url: str,
    tmp_path: Any,
) -> None:
    release = write_release(tmp_path, 6002)

    async def work() -> None:
        store = OnlineStore(release, redis_url)
        following = asyncio.create_task(live_items.follow(store, redis_url))
        try:
            posted = await asyncio.to_thread(growing_server.v1, new("elsewhere", image=picture("blue")), model="items")
            assert posted[0] == 200
            await async_until(lambda: "elsewhere" in store.catalog)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await store.close()

    asyncio.run(work())


def test_wrong_items_are_400_and_nothing_is_stored(growing_server: Any, redis_url: str) -> None:
    stored = Redis.from_url(redis_url).xlen(Keys(6002).live_item_stream)
    cases: list[tuple[list[Any], str]] = [
        ([{}], "instances[0].item_id: is required, and must be a string of 1 to 256 characters"),
        (
            [{"item_id": "nowhere", "action": "delete"}],
            "instances[0].item_id: must be an item of the catalog to delete it",
        ),
        ([new("x", action="disable")], "instances[0].category: does not go with the action disable; omit it"),
        ([new("x", action="burn")], "instances[0].action: must be upsert, disable, enable, delete or read, got 'burn'"),
        (
            [{"item_id": "x", "clear": ["colour"]}],
            "instances[0].clear: 'colour' is not a column; the columns are title,",
        ),
        ([new("x"), new("y"), new("x")], "instances[2].item_id: must be given once, but instances[0] is 'x' too"),
        ([new("x", price=-1)], "instances[0].price: must be a number of at least 0, got -1"),
        ([new("x", price="3")], "instances[0].price: must be a number of at least 0, got '3'"),
        ([new("x", colour=1)], "instances[0].colour: is not a field; the fields are item_id, title,"),
        (
            [new("x", features={"colour": 1})],
            "instances[0].features.colour: is not a declared column of items; the release has ",
        ),
        (
            [new("x", features={"tags": 1})],
            "instances[0].features.tags: must be a string of at most 1000 characters, a list of at most 100 of them",
        ),
        ([new("x", features={"grams": "1"})], "instances[0].features.grams: must be a finite number or null, got '1'"),
        (
            [new("x", image={"url": "http://x"})],
            "instances[0].image.url: is not a field; the fields are b64; URLs are not",
        ),
        ([new("x", image={"b64": "aGVsbG8="})], "instances[0].image: not a readable image"),
        ([new("x"), new("y", audio=picture())], "instances[1].audio: not a readable sound"),
        ([new("x", created_at=1.5)], "instances[0].created_at: must be milliseconds since the epoch, or a date"),
        (
            [new("x", created_at=1_790_000_000)],
            "instances[0].created_at: must be milliseconds since the epoch, but looks",
        ),
        ([new("x\x07")], "instances[0].item_id: must be free of control characters, got 'x\\x07'"),
        ([new("x")] * 65, "instances: must be a list of 1 to 64, got 65"),
    ]
    for items, message in cases:
        status, answer = growing_server.v1(*items, model="items")
        assert (status, answer["error"][: len(message)]) == (400, message)
    assert Redis.from_url(redis_url).xlen(Keys(6002).live_item_stream) == stored


def test_a_full_release_asks_for_a_new_build(growing_server: Any, redis_url: str) -> None:
    client, key = Redis.from_url(redis_url), Keys(6002).live_item_slots
    before = client.hgetall(key)
    filling = {f"filling-{n}": n for n in range(len(before), NEW_ITEM_CAPACITY)}
    client.hset(key, mapping=filling)
    try:
        status, answer = growing_server.v1(new("no room"), model="items")
        assert status == 400
        assert answer["error"].startswith("instances: release 6002 has no room: it takes 100,000 new items; build")
    finally:
        client.hdel(key, *filling)
