"""Live items of a release in Redis: writing them, and following the stream by which every process receives them.

The stream has one entry per new, changed or deleted item with all that the release derived from its changes (vector,
row, title, document), so that a process that starts later builds the same catalog. Two processes may derive the same
item: the entry of an earlier change never replaces that of a later one.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from recommender_transformer.backends.catalog import OF_RELEASE, LiveItem
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
local function order(version)
  local ms, sequence = string.match(version, '^(%d+)-(%d+)$')
  return tonumber(ms or 0), tonumber(sequence or 0)
end
local held = redis.call('HGET', KEYS[3], ARGV[1])
if held and ARGV[2] ~= '' then
  local ms, sequence = order(ARGV[2])
  local held_ms, held_sequence = order(held)
  if ms < held_ms or (ms == held_ms and sequence <= held_sequence) then return 0 end
end
local entry = redis.call('XADD', KEYS[1], '*', 'item_id', unpack(ARGV, 3))
local before = redis.call('HGET', KEYS[2], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], entry)
if ARGV[2] ~= '' then redis.call('HSET', KEYS[3], ARGV[1], ARGV[2]) end
if before then redis.call('XDEL', KEYS[1], before) end
return 1
"""
"""Appends the entry of an item and deletes its previous one; neither if that one is of the same or a later change."""


class NoRoom(WinnowError):
    """The release is at its capacity of new items."""


async def slots(store: OnlineStore, item_ids: Sequence[str]) -> list[int]:
    """The slot of each item; allocates slots for items without one.

    Raises:
        NoRoom: the items exceed the capacity; no slot was allocated.
        RedisError: Redis does not answer.
    """
    allocated: list[int] = await _call(store.client, _ALLOCATE, [store.keys.live_item_slots], item_ids)
    if not allocated:
        raise NoRoom(
            f"release {store.keys.release} has no room: it takes {NEW_ITEM_CAPACITY:,} new items; "
            "build the next release with them (`winnow build`)"
        )
    return allocated


async def write(store: OnlineStore, items: Sequence[LiveItem]) -> None:
    """Write stream entries and rows; returns once Redis has both.

    An item of a change that is not later than the one in the stream is left out.

    Raises:
        RedisError: Redis does not answer; writing the same items again is safe.
    """
    left = list(items)
    # The rows follow, in other slots of a cluster: a row may only be set by the writer of the latest entry, so each
    # writer looks again once it has set its rows.
    await _append(store, left)
    while left:
        pipe = store.client.pipeline(transaction=False)
        for item in left:
            if item.deleted:
                pipe.delete(store.keys.item(item.item_id))
            else:
                pipe.set(store.keys.item(item.item_id), item.row.tobytes())
        await pipe.execute()
        left = await _later(store, left)


async def _append(store: OnlineStore, items: Sequence[LiveItem]) -> None:
    pipe = store.client.pipeline(transaction=False)
    for item in items:
        fields: dict[str, str | bytes | int] = {
            "slot": item.slot,
            "vector": item.vector.astype("<f4").tobytes(),
            "row": item.row.tobytes(),
            "title": item.title,
            "document": orjson.dumps(dict(item.document)),
            "deleted": int(item.deleted),
            "version": item.version,
            "inputs": item.inputs,
        }
        places = (store.keys.live_item_stream, store.keys.live_item_entries, store.keys.live_item_versions)
        flat = [part for field in fields.items() for part in field]
        pipe.eval(_APPEND, 3, *places, item.item_id, item.version, item.item_id, *flat)
    await pipe.execute()


async def _later(store: OnlineStore, items: Sequence[LiveItem]) -> list[LiveItem]:
    """The entries that replaced those of ``items`` meanwhile."""
    ids = [item.item_id for item in items]
    held = await versions(store, ids)
    replaced = [item.item_id for item, version in zip(items, held, strict=True) if version not in ("", item.version)]
    if not replaced:
        return []
    entries: Any = await store.client.hmget(store.keys.live_item_entries, replaced)
    pipe = store.client.pipeline(transaction=False)
    for entry in entries:
        pipe.xrange(store.keys.live_item_stream, entry, entry)
    found = [reply[0][1] for reply in await pipe.execute() if reply]
    return [item for item in (_decode(store, fields) for fields in found) if item is not None]


async def versions(store: OnlineStore, item_ids: Sequence[str]) -> list[str]:
    """Id of the latest change that the release's entry of each item contains; "" without one.

    Raises:
        RedisError: Redis does not answer.
    """
    held: Any = await store.client.hmget(store.keys.live_item_versions, list(item_ids))
    return [(version or b"").decode() for version in held]


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
                log.warning("live items cannot be read from Redis: %s", error)
                await asyncio.sleep(_RETRY_S)
    finally:
        await client.aclose()


async def _entries(
    store: OnlineStore, client: AsyncClient, position: str, block_ms: int | None
) -> AsyncIterator[tuple[str, list[LiveItem]]]:
    """Items after ``position``, a read at a time with the id of its last entry, until none arrives for ``block_ms``."""
    while True:
        # If Redis hangs, the read fails after this, and the caller retries.
        async with asyncio.timeout((block_ms or 0) / 1000 + _TIMEOUT_S):
            answer: Any = await client.xread({store.keys.live_item_stream: position}, count=_BATCH, block=block_ms)
        if not answer:
            return
        [(_, entries)] = answer
        items = []
        for entry, fields in entries:
            position = entry.decode()
            item = _decode(store, fields)
            if item is None:
                log.warning(
                    "entry %s of %s is skipped: it does not match this release", position, store.keys.live_item_stream
                )
            else:
                items.append(item)
        yield position, items


def _decode(store: OnlineStore, fields: dict[bytes, bytes]) -> LiveItem | None:
    """The item of an entry; `None` if the entry does not match the release."""
    catalog = store.catalog
    try:
        slot, row, vector = int(fields[b"slot"]), fields[b"row"], fields[b"vector"]
        item_id, title = fields[b"item_id"].decode(), fields[b"title"].decode()
        # Entries of earlier versions of Winnow lack the rest.
        document = orjson.loads(fields.get(b"document", b"{}"))
        version, inputs = fields.get(b"version", b"").decode(), fields.get(b"inputs", b"new")
    except (KeyError, ValueError):
        return None
    fits = len(row) == catalog.rows.dtype.itemsize and len(vector) == 4 * catalog.dimension
    if not fits or not isinstance(document, dict) or not OF_RELEASE <= slot < NEW_ITEM_CAPACITY:
        return None
    packed: np.void = np.frombuffer(row, catalog.rows.dtype).copy()[0]
    index = catalog.index_in_release(item_id) if slot == OF_RELEASE else catalog.size + 1 + slot
    if not index:
        return None
    packed["index"] = index
    read: NDArray[np.float32] = np.frombuffer(vector, "<f4").astype(np.float32)
    deleted = fields.get(b"deleted") == b"1"
    return LiveItem(item_id, slot, read, packed, title, document, deleted, version, inputs)


async def _call(client: AsyncClient, script: str, keys: Sequence[str], arguments: Sequence[str]) -> Any:
    return await client.eval(script, len(keys), *keys, *arguments)
