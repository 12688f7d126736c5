"""Changes of any item reach every process of every release, and are the same there and in the next build."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from redis import Redis

from tests.support.media import picture_bytes
from winnow.catalog import append as appending
from winnow.catalog.append import CatalogFull, CatalogLimits
from winnow.catalog.change import Change
from winnow.datasets.canonical.raw import RawFile, RawTable
from winnow.datasets.catalog_changes import overlays
from winnow.feedback import export_files
from winnow.feedback.change_files import CHANGE_TABLE
from winnow.feedback.export import export
from winnow.release import Release
from winnow.request import InvalidRequest
from winnow.retrieval import offline_lists
from winnow.store.connection import RedisError
from winnow.store.keys import CATALOG_READ, CHANGED_MEDIA, CHANGES, LATEST_CHANGES, Keys

Released = Callable[..., Release]
Run = Callable[..., None]
USER = {"user_id": "user-3"}


async def everywhere(transformers: tuple[Any, ...], holds: Callable[[Any], Awaitable[Any]]) -> None:
    for transformer in transformers:
        for _ in range(3000):
            if await holds(transformer):
                break
            await asyncio.sleep(0.01)
        else:
            pytest.fail("the condition did not hold")


def test_an_item_of_the_release_is_taken_down_and_put_back(run: Run, released: Released) -> None:
    async def use(*two: Any) -> None:
        one, other = two
        [item, *_] = await one.shown(**USER)
        assert item in await other.shown(**USER)
        outcome = await one.change(item, "disable")
        assert (outcome.state, outcome.changed, outcome.replaced) == ("disabled", True, True)
        assert item not in await one.shown(**USER)
        await everywhere(two, lambda t: _lacks(t, item))
        assert (await other.read(item))[0] == "disabled"
        assert (await other.change(item, "enable")).state == "changed"
        await everywhere(two, lambda t: _has(t, item))

    release = released(1)
    run(use, release, release)


async def _has(transformer: Any, item: str, **request: Any) -> bool:
    return item in await transformer.shown(**{**USER, **request})


async def _lacks(transformer: Any, item: str, **request: Any) -> bool:
    return not await _has(transformer, item, **request)


def test_absent_fields_stay_and_none_clears(run: Run, released: Released) -> None:
    async def use(*two: Any) -> None:
        one, other = two
        state, before = await one.read("item-7")
        assert (state, before["price"]) == ("release", 7.0)
        await one.change("item-7", price=9.5, grams=12.0)
        await other.change("item-7", title=None, tags=None)
        expected = {name: value for name, value in before.items() if name not in ("title", "tags")}
        for each in two:
            assert await each.read("item-7") == ("changed", expected | {"price": 9.5, "grams": 12.0})
        await everywhere(two, lambda t: _column(t, "grams", 12.0))
        columns = one.store.catalog.columns.document(7)
        assert "title" not in columns
        assert "tags" not in columns

    async def _column(transformer: Any, name: str, value: float) -> bool:
        return bool(transformer.store.catalog.columns.document(7).get(name) == value)

    release = released(1)
    run(use, release, release)


def test_a_new_category_counts_for_filters_and_a_new_title_is_shown(run: Run, released: Released) -> None:
    books, toys = ({"filters": {"categories": [name]}} for name in ("books", "toys"))

    async def use(*two: Any) -> None:
        [item, *_] = await two[0].shown(**USER, **books)
        assert await _lacks(two[1], item, **toys)
        await two[0].change(item, category="toys", title="A purple zebra", image=picture_bytes("blue"))
        await everywhere(two, lambda t: _has(t, item, **toys))
        for each in two:
            assert await _lacks(each, item, **books)
            [mine] = [one for one in (await each.ask(**USER, **toys))["items"] if one["item_id"] == item]
            assert mine["title"] == "A purple zebra"

    release = released(1)
    run(use, release, release)


def test_a_deleted_item_never_appears_again(run: Run, released: Released, own_redis: str) -> None:
    client, keys, release = Redis.from_url(own_redis), Keys(1), released(1)
    index = int(release.array("popular")[release.array("item_rows")["available"][release.array("popular")] > 0][0])
    item = f"item-{index}"
    client.set(keys.trending, np.array([index, 6, 7], "<i4").tobytes())
    client.hset(keys.lists, "task", "x")
    client.set(keys.offline_list("user-3"), offline_lists.encode(np.array([index, 8, 9], np.int32)))
    requests: list[dict[str, Any]] = [
        USER,
        {"user_id": "a newcomer"},
        {"query": {"text": "Fresh"}},
        USER | {"query": {"text": f"title {index}"}},
        USER | {"filters": {"categories": ["books", "games", "music", "toys"]}},
        {"like": "item-3"},
        USER | {"like": "item-3", "relation": "complementary"},
        USER | {"rank": ["item-3", item, "fresh one", "item-4"]},
        *({"list": name} for name in ("popular", "trending", "new")),
    ]

    async def use(*two: Any) -> None:
        one, other = two
        assert (await other.change("fresh one", title="Fresh")).state == "new"
        # The answers are held from now on.
        before = [await each.shown(**request) for each in two for request in requests]
        assert any(item in shown for shown in before)
        for gone in (item, "fresh one"):
            assert (await one.change(gone, "delete")).state == "deleted"
            again = await other.change(gone, "delete")
            assert (again.state, again.changed) == ("deleted", False)
        for each in two:
            catalog = each.store.catalog
            assert [name in catalog for name in (item, "fresh one")] == [False, False]
            assert catalog.deleted(np.array([index, 301, 3], np.int32)).tolist() == [True, True, False]
            for request in requests:
                assert not {item, "fresh one"} & set(await each.shown(**request))
            assert await each.read(item) == ("deleted", {})
            assert await each.read("fresh one") == ("deleted", {})
            with pytest.raises(InvalidRequest, match="like"):
                await each.ask(like=item)
            with pytest.raises(
                InvalidRequest, match=r"instances\[0\].item_id: must be an item of the catalog to enable"
            ):
                await each.change(item, "enable")
        assert not client.exists(keys.item(item))
        # Also once no cached row is left.
        one.store._cache._read[:] = -np.inf
        assert item not in await one.shown(**USER)
        # An upsert revives it with nothing of what it was.
        assert (await other.change(item, price=2.0, category="toys")).state == "changed"
        assert await one.read(item) == ("changed", {"price": 2.0, "category": "toys", "available": True})
        await everywhere(two, lambda t: _has(t, item, filters={"categories": ["toys"]}))

    run(use, release, release)


def test_the_last_write_of_the_stream_wins_everywhere(
    run: Run, released: Released, own_redis: str, tmp_path: Path
) -> None:
    """Two processes change one item at once, by different and by the same fields."""
    client, documents = Redis.from_url(own_redis), []

    async def use(*two: Any) -> None:
        async def write(number: int) -> None:
            for n in range(40):
                title = {"title": f"t{n}"} if number else {}
                await two[number].change("item-9", price=float(100 * number + n), **title)

        await asyncio.gather(write(0), write(1))
        [(newest, fields)] = client.xrevrange(CHANGES, count=1)
        await everywhere(two, lambda t: _received(t, newest.decode()))
        for each in two:
            _, document = await each.read("item-9")
            assert each.store.catalog.columns.document(9) == document | {"item_id": "item-9"}
            documents.append(document)
        assert documents[0] == documents[1]
        assert documents[0]["price"] == json.loads(fields[b"document"])["price"]
        assert documents[0]["title"] == "t39"
        rows = [each.store.catalog.rows.take(np.array([9])).tobytes() for each in two]
        assert rows == [client.get(Keys(1).item("item-9"))] * 2

    async def _received(transformer: Any, version: str) -> bool:
        return bool(transformer.store.catalog.version("item-9") == version)

    release = released(1)
    run(use, release, release)
    exported = export(str(tmp_path / "out"), own_redis, show_progress=False)
    assert exported.changes == 80
    parts = [RawFile(each, pq.read_table(each)) for each in export_files.written(str(tmp_path / "out"), CHANGE_TABLE)]
    applied = overlays("x", "/", RawTable("catalog/", tuple(parts)))["item-9"]
    assert dict(applied.values) == {name: documents[0][name] for name in ("title", "price")}
    [row] = parts[0].table.slice(0, 1).to_pylist()
    assert (row["caller"], row["release"], row["action"]) == ("a test", 1, "upsert")
    assert client.xlen(CHANGES) == 0


def test_sending_a_change_again_changes_nothing(run: Run, released: Released, own_redis: str) -> None:
    client = Redis.from_url(own_redis)

    async def use(one: Any, other: Any) -> None:
        assert (await one.change("item-4", price=3.0)).changed
        assert not (await other.change("item-4", price=3.0)).changed
        assert client.xlen(CHANGES) == 1
        assert (await one.change("item-4", price=5.0, change_id="c-1")).changed
        assert (await other.change("item-4", price=6.0)).changed
        # It came late, and was applied before.
        assert not (await other.change("item-4", price=5.0, change_id="c-1")).changed
        assert (await one.read("item-4"))[1]["price"] == 6.0
        assert client.xlen(CHANGES) == 3
        assert client.xlen(LATEST_CHANGES) == client.xlen(Keys(1).live_item_stream) == 1

    release = released(1)
    run(use, release, release)


def test_changes_survive_restarts_and_reach_other_releases(
    run: Run, released: Released, own_redis: str, tmp_path: Path
) -> None:
    client, first = Redis.from_url(own_redis), released(1)

    async def before(one: Any) -> None:
        await one.change("item-2", price=1.5, image=picture_bytes("red"))
        await one.change("item-3", "delete")
        await one.change("brand new", title="Brand new", category="toys")

    async def states(transformer: Any) -> list[str]:
        return [(await transformer.read(name))[0] for name in ("item-2", "item-3", "brand new")]

    async def received(transformer: Any, *item_ids: str) -> bool:
        return not any(name in transformer.store.catalog for name in item_ids)

    async def after(stable: Any, canary: Any, built: Any) -> None:
        assert await states(stable) == ["changed", "deleted", "new"]
        # The canary's data had none of the changes: it has derived them when it starts.
        [vector] = stable.store.catalog.vectors.take(np.array([2]))
        np.testing.assert_allclose(canary.store.catalog.vectors.take(np.array([2]))[0], vector, rtol=1e-6)
        assert [name in canary.store.catalog for name in ("item-3", "brand new")] == [False, True]
        # The data of the third release had all of them.
        assert [name in built.store.catalog for name in ("item-3", "brand new")] == [True, False]
        assert built.store.catalog.changes == 0
        await canary.change("item-6", "delete")
        await stable.change("item-8", "delete")
        await everywhere((stable, canary, built), lambda t: received(t, "item-6", "item-8"))

    run(before, first)
    position = client.xrevrange(CHANGES, count=1)[0][0].decode()
    assert int(client.get(CHANGED_MEDIA)) > 0
    run(after, first, released(2), released(3, position))
    # What every published release has read is forgotten.
    assert {key: value.decode() for key, value in client.hgetall(CATALOG_READ).items()} == {
        b"1": "",
        b"2": "",
        b"3": position,
    }
    client.hdel(CATALOG_READ, "1", "2")
    assert client.xlen(LATEST_CHANGES) == 5
    export(str(tmp_path / "out"), own_redis, show_progress=False)
    assert client.xlen(LATEST_CHANGES) == len(client.keys("{catalog}:item:*")) == 2
    assert int(client.get(CHANGED_MEDIA)) == 0
    assert len(list((tmp_path / "out" / "catalog" / "media").iterdir())) == 1


def test_a_change_whose_process_died_is_derived_by_another(run: Run, released: Released, own_redis: str) -> None:
    """It was stored, and neither derived nor acknowledged."""

    async def use(one: Any) -> None:
        change = Change("item-5", "upsert", {"price": 4.5})
        [known] = await appending.read(one.store.client, [change])
        await appending.append(one.store.client, [change], [known.overlay], CatalogLimits(), 1, "")
        await everywhere((one,), _derived)

    async def _derived(transformer: Any) -> bool:
        return bool(transformer.store.catalog.columns.document(5).get("price") == 4.5)

    run(use, released(1))


def test_a_full_stream_and_a_lost_redis_store_nothing(run: Run, released: Released, own_redis: str) -> None:
    client = Redis.from_url(own_redis)

    async def use(one: Any) -> None:
        one.changes._limits = CatalogLimits(entries=1, media_bytes=10)
        with pytest.raises(CatalogFull, match="export them with `winnow events export`"):
            await one.change("item-5", image=picture_bytes("red"))
        await one.change("item-5", price=2.0)
        with pytest.raises(CatalogFull):
            await one.change("item-6", price=2.0)
        assert client.xlen(CHANGES) == 1
        # Neither are changes stored while the models are away.
        one.changes._limits = CatalogLimits()
        one.models.broken.add("text_encoder")
        with pytest.raises(ConnectionError):
            await one.change("item-6", title="Another")
        assert client.xlen(CHANGES) == 1
        client.shutdown(nosave=True)
        for action in ("upsert", "disable", "delete"):
            with pytest.raises(RedisError):
                await one.change("item-2", action)

    run(use, released(1))
