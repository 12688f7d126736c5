"""New items in Redis: writing them, and following the stream by which every process of the release receives them.

The stream has one entry per item with all its data (vector, row, title, document), so that a process that starts later
builds the same catalog.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from recommender_transformer.backends.catalog import NewItem
from recommender_transformer.backends.online_store import OnlineStore
from winnow.errors import WinnowError
from winnow.signatures import NEW_ITEM_CAPACITY
from winnow.store.connection import AsyncClient, RedisError, connect_async

log = logging.getLogger(__name__)

_BLOCK_MS = 2000
_RETRY_S = 0.2
"""Delay before the next read after Redis failed."""

_TIMEOUT_S = 5.0
"""Time-out of a read, in addition to its blocking time."""

_BATCH = 256
"""Entries per read: some hundreds of kilobytes."""

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
"""Allocates slots for all ids, or for none if the capacity is exceeded. Atomic, so no two items share a slot."""

_APPEND = """
local entry = redis.call('XADD', KEYS[1], '*',
  'item_id', ARGV[1], 'slot', ARGV[2], 'vector', ARGV[3], 'row', ARGV[4], 'title', ARGV[5], 'document', ARGV[6])
local before = redis.call('HGET', KEYS[2], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], entry)
if before then redis.call('XDEL', KEYS[1], before) end
return entry
"""
"""Deletes the previous entry of a replaced item, so that the stream has one entry per new item."""


class NoRoom(WinnowError):
    """The release is at its capacity of new items."""


async def slots(store: OnlineStore, item_ids: Sequence[str]) -> list[int]:
    """The slot of each item; allocates slots for items without one.

    Raises:
        NoRoom: the items exceed the capacity; no slot was allocated.
        RedisError: Redis does not answer.
    """
    allocated: list[int] = await _call(store.client, _ALLOCATE, [store.keys.new_item_slots], item_ids)
    if not allocated:
        raise NoRoom(
            f"release {store.keys.release} has no room: it takes {NEW_ITEM_CAPACITY:,} new items; "
            "build the next release with them (`winnow build`)"
        )
    return allocated


async def write(store: OnlineStore, items: Sequence[NewItem]) -> None:
    """Write rows, then stream entries, so that a reader of an entry finds the row. Returns once Redis has both.

    Raises:
        RedisError: Redis does not answer; writing the same items again is safe.
    """
    # Two pipelines: on a cluster, the commands of one pipeline reach different nodes in any order.
    pipe = store.client.pipeline(transaction=False)
    for item in items:
        pipe.set(store.keys.item(item.item_id), item.row.tobytes())
    await pipe.execute()
    pipe = store.client.pipeline(transaction=False)
    for item in items:
        vector, row = item.vector.astype("<f4").tobytes(), item.row.tobytes()
        fields = (item.item_id, item.slot, vector, row, item.title, orjson.dumps(dict(item.document)))
        pipe.eval(_APPEND, 2, store.keys.new_item_stream, store.keys.new_item_entries, *fields)
    await pipe.execute()


async def catch_up(store: OnlineStore) -> str:
    """Add every item of the stream to the catalog; returns the position in the stream.

    Raises:
        RedisError: Redis does not answer.
    """
    position = "0"
    async for last, items in _entries(store, store.client, position, None):
        position = last
        store.learn(items)
    return position


async def follow(store: OnlineStore, url: str, position: str = "0") -> None:
    """Add items to the catalog as they arrive in the stream, until cancelled; retries while Redis fails.

    Args:
        store: owner of the catalog.
        url: URL of Redis; blocking reads need a connection of their own.
        position: id of the entry after which to read.
    """
    client = connect_async(url)
    task = asyncio.current_task()
    assert task is not None
    try:
        # asyncio.wait_for, which the client uses, can swallow a cancellation in Python 3.11.
        while not task.cancelling():
            try:
                async for last, items in _entries(store, client, position, _BLOCK_MS):
                    position = last
                    store.learn(items)
            except (RedisError, OSError) as error:
                log.warning("new items cannot be read from Redis: %s", error)
                await asyncio.sleep(_RETRY_S)
    finally:
        await client.aclose()


async def _entries(
    store: OnlineStore, client: AsyncClient, position: str, block_ms: int | None
) -> AsyncIterator[tuple[str, list[NewItem]]]:
    """Items after ``position``, a read at a time with the id of its last entry, until none arrives for ``block_ms``."""
    while True:
        # If Redis hangs, the read fails after this, and the caller retries.
        async with asyncio.timeout((block_ms or 0) / 1000 + _TIMEOUT_S):
            answer: Any = await client.xread({store.keys.new_item_stream: position}, count=_BATCH, block=block_ms)
        if not answer:
            return
        [(_, entries)] = answer
        items = []
        for entry, fields in entries:
            position = entry.decode()
            item = _decode(store, fields)
            if item is None:
                log.warning(
                    "entry %s of %s is skipped: it does not match this release", position, store.keys.new_item_stream
                )
            else:
                items.append(item)
        yield position, items


def _decode(store: OnlineStore, fields: dict[bytes, bytes]) -> NewItem | None:
    """The item of an entry; `None` if the entry does not match the release."""
    catalog = store.catalog
    try:
        slot, row, vector = int(fields[b"slot"]), fields[b"row"], fields[b"vector"]
        item_id, title = fields[b"item_id"].decode(), fields[b"title"].decode()
        # Entries of earlier versions of Winnow have no document.
        document = orjson.loads(fields.get(b"document", b"{}"))
    except (KeyError, ValueError):
        return None
    fits = len(row) == catalog.rows.dtype.itemsize and len(vector) == 4 * catalog.dimension
    if not fits or not isinstance(document, dict) or not 0 <= slot < NEW_ITEM_CAPACITY:
        return None
    read: NDArray[np.float32] = np.frombuffer(vector, "<f4").astype(np.float32)
    return NewItem(item_id, slot, read, np.frombuffer(row, catalog.rows.dtype)[0], title, document)


async def _call(client: AsyncClient, script: str, keys: Sequence[str], arguments: Sequence[str]) -> Any:
    return await client.eval(script, len(keys), *keys, *arguments)
