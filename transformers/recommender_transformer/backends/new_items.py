"""Fresh items in Redis: how one is written, and how every process of the release learns of it.

A stream carries each item whole (vector, row, title), one entry an item, so that a process which starts late reads the
same catalog as one that was there all along.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.catalog import FreshItem
from recommender_transformer.backends.online import OnlineStore
from winnow.errors import WinnowError
from winnow.signatures import NEW_ITEM_CAPACITY
from winnow.store.connection import AsyncClient, RedisError, connect_async

log = logging.getLogger(__name__)

_BLOCK_MS = 2000
_AGAIN_S = 0.2
"""How soon a Redis that is away is asked again."""

_PATIENCE_S = 5.0
"""How long a reply may take beyond the waiting that was asked for."""

_READ = 256
"""Entries of one read: some hundreds of kilobytes."""

_ALLOCATE = f"""
local new = 0
for _, id in ipairs(ARGV) do
  if redis.call('HEXISTS', KEYS[1], id) == 0 then new = new + 1 end
end
local taken = redis.call('HLEN', KEYS[1])
if taken + new > {NEW_ITEM_CAPACITY} then return {{}} end
local slots = {{}}
for position, id in ipairs(ARGV) do
  if redis.call('HSETNX', KEYS[1], id, taken) == 1 then taken = taken + 1 end
  slots[position] = tonumber(redis.call('HGET', KEYS[1], id))
end
return slots
"""
"""Slots of all ids, or of none where there is no room: all in one step, so no two items share one."""

_APPEND = """
local entry = redis.call('XADD', KEYS[1], '*',
  'item_id', ARGV[1], 'slot', ARGV[2], 'vector', ARGV[3], 'row', ARGV[4], 'title', ARGV[5])
local before = redis.call('HGET', KEYS[2], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], entry)
if before then redis.call('XDEL', KEYS[1], before) end
return entry
"""
"""A replaced item's old entry goes, so the stream is never longer than the catalog has fresh items."""


class NoRoom(WinnowError):
    """The release holds as many fresh items as it can."""


async def slots(store: OnlineStore, item_ids: Sequence[str]) -> list[int]:
    """The slot of each item, given now to those that had none.

    Raises:
        NoRoom: they do not all fit; none was given a slot.
        RedisError: Redis does not answer.
    """
    given: list[int] = await _call(store.client, _ALLOCATE, [store.keys.new_item_slots], item_ids)
    if not given:
        raise NoRoom(
            f"release {store.keys.release} has no room: it takes {NEW_ITEM_CAPACITY} new items; "
            "build the next release with them (`winnow build`)"
        )
    return given


async def write(store: OnlineStore, items: Sequence[FreshItem]) -> None:
    """Write rows, then stream entries: who reads an entry finds the row. All is in Redis when this returns.

    Raises:
        RedisError: Redis does not answer; what was written already may be written again.
    """
    # Two pipelines: on a cluster, what is written by one of them arrives at its nodes in any order.
    pipe = store.client.pipeline(transaction=False)
    for item in items:
        pipe.set(store.keys.item(item.item_id), item.row.tobytes())
    await pipe.execute()
    pipe = store.client.pipeline(transaction=False)
    for item in items:
        fields = (item.item_id, item.slot, item.vector.astype("<f4").tobytes(), item.row.tobytes(), item.title)
        pipe.eval(_APPEND, 2, store.keys.new_item_stream, store.keys.new_item_entries, *fields)
    await pipe.execute()


async def catch_up(store: OnlineStore) -> str:
    """Learn of every fresh item there is; returns the stream's position.

    Raises:
        RedisError: Redis does not answer.
    """
    position = "0"
    async for item, entry in _entries(store, store.client, position, None):
        position = entry
        _learn(store, item, entry)
    return position


async def follow(store: OnlineStore, url: str, position: str = "0") -> None:
    """Learn of fresh items as they come, until cancelled; a Redis that is away is waited for.

    Args:
        store: what learns of them.
        url: where Redis is: reading waits, so it has a connection of its own.
        position: the entry after which to read.
    """
    client = connect_async(url)
    me = asyncio.current_task()
    assert me is not None
    try:
        # asyncio.wait_for, which the client sends with, can swallow a cancellation in Python 3.11.
        while not me.cancelling():
            try:
                async for item, entry in _entries(store, client, position, _BLOCK_MS):
                    position = entry
                    _learn(store, item, entry)
            except (RedisError, OSError) as error:
                log.warning("fresh items cannot be read: %s", error)
                await asyncio.sleep(_AGAIN_S)
    finally:
        await client.aclose()


def _learn(store: OnlineStore, item: FreshItem | None, entry: str) -> None:
    if item is None:
        log.warning("entry %s of %s is not this release's and left out", entry, store.keys.new_item_stream)
    else:
        store.learn(item)


async def _entries(
    store: OnlineStore, client: AsyncClient, position: str, block_ms: int | None
) -> AsyncIterator[tuple[FreshItem | None, str]]:
    """Entries after ``position``, with their ids, until there are no more (for ``block_ms``)."""
    while True:
        # A Redis that hangs must not hold the reader for ever.
        async with asyncio.timeout((block_ms or 0) / 1000 + _PATIENCE_S):
            answered: Any = await client.xread({store.keys.new_item_stream: position}, count=_READ, block=block_ms)
        if not answered:
            return
        [(_, entries)] = answered
        for entry, fields in entries:
            position = entry.decode()
            yield _decode(store, fields), position


def _decode(store: OnlineStore, fields: dict[bytes, bytes]) -> FreshItem | None:
    """The item of an entry; none where it is not what this release writes."""
    catalog = store.catalog
    try:
        slot, row, vector = int(fields[b"slot"]), fields[b"row"], fields[b"vector"]
        item_id, title = fields[b"item_id"].decode(), fields[b"title"].decode()
    except (KeyError, ValueError):
        return None
    fits = len(row) == catalog.rows.dtype.itemsize and len(vector) == 4 * catalog.vectors.shape[1]
    if not fits or not 0 <= slot < NEW_ITEM_CAPACITY:
        return None
    read: NDArray[np.float32] = np.frombuffer(vector, "<f4").astype(np.float32)
    return FreshItem(item_id, slot, read, np.frombuffer(row, catalog.rows.dtype)[0], title)


async def _call(client: AsyncClient, script: str, keys: Sequence[str], arguments: Sequence[str]) -> Any:
    return await client.eval(script, len(keys), *keys, *arguments)
