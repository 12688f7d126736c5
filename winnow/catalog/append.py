"""Append changes to the catalog's stream, and read what they add up to.

A change is computed from the overlay of its item, so the script appends it only if that overlay is still the latest:
the order of the stream is the order in which changes take effect, in every process and in the next build.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from winnow.catalog.change import MEDIA, Change, Overlay
from winnow.errors import WinnowError
from winnow.store import keys
from winnow.store.connection import AsyncClient

REMEMBERED_S = 3600
"""Expiry of a ``change_id``, in seconds, as of an event's id."""

_VERSION, _ON_BASE, _DELETED = b"version", b"on_base", b"deleted"
_VALUE, _MEDIUM = "=", "#"

_APPEND = """
local stream, latest, media = KEYS[1], KEYS[2], KEYS[3]
local most, most_bytes, ttl, release = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4]
local cursor, changes, stale, bytes = 5, {}, {}, 0
local function take(count)
  local taken = {}
  for n = 1, count do taken[n] = ARGV[cursor + n - 1] end
  cursor = cursor + count
  return taken
end
for place = 4, #KEYS, 2 do
  local change = {overlay = KEYS[place], once = KEYS[place + 1]}
  local head = take(4)
  change.id, change.expected, change.fresh, bytes = head[1], head[2], head[3], bytes + tonumber(head[4])
  change.entry = take(tonumber(take(1)[1]))
  change.set = take(tonumber(take(1)[1]))
  local held = redis.call('HGET', change.overlay, 'version') or ''
  local again = change.once ~= stream and redis.call('EXISTS', change.once) == 1
  if held ~= change.expected or again then stale[#stale + 1] = 'stale' end
  changes[#changes + 1] = change
end
if #stale > 0 then return {'stale'} end
if redis.call('XLEN', stream) + #changes > most then return {'full'} end
if bytes > 0 and tonumber(redis.call('GET', media) or '0') + bytes > most_bytes then return {'full'} end
local versions = {}
for n, change in ipairs(changes) do
  local version = redis.call('XADD', stream, '*', unpack(change.entry))
  if change.fresh == '1' then redis.call('DEL', change.overlay) end
  redis.call('HSET', change.overlay, 'version', version, unpack(change.set))
  if change.expected ~= '' then redis.call('XDEL', latest, change.expected) end
  redis.call('XADD', latest, version, 'item_id', change.id, 'release', release)
  if change.once ~= stream then redis.call('SET', change.once, version, 'EX', ttl) end
  versions[n] = version
end
if bytes > 0 then redis.call('INCRBY', media, bytes) end
return versions
"""
"""Appends all changes, or none if an overlay has changed meanwhile or there is no room."""


class CatalogFull(WinnowError):
    """The stream is at its bound: nothing was appended."""


@dataclass(frozen=True)
class CatalogLimits:
    """Bounds of the stream, beyond which changes are refused until `winnow events export` makes room.

    Attributes:
        entries: changes in the stream.
        media_bytes: bytes of their images and sounds.
    """

    entries: int = 1_000_000
    media_bytes: int = 2**30


@dataclass(frozen=True)
class Known:
    """What Redis holds of a change's item.

    Attributes:
        overlay: what earlier changes add up to.
        applied: id of this very change, if it was appended before; "" otherwise.
    """

    overlay: Overlay
    applied: str


async def read(client: AsyncClient, changes: Sequence[Change]) -> list[Known]:
    """The overlay of each change's item, and whether the change was appended before; one round trip.

    Raises:
        RedisError: Redis does not answer.
    """
    pipe = client.pipeline(transaction=False)
    for change in changes:
        pipe.hgetall(keys.overlay(change.item_id))
        pipe.get(keys.change_id(change.change_id or ""))
    replies = await pipe.execute()
    return [
        Known(decode(held), (applied or b"").decode())
        for held, applied in zip(replies[::2], replies[1::2], strict=True)
    ]


async def overlays(client: AsyncClient, item_ids: Sequence[str]) -> list[Overlay]:
    """The overlay of each item, in one round trip.

    Raises:
        RedisError: Redis does not answer.
    """
    if not item_ids:
        return []
    pipe = client.pipeline(transaction=False)
    for item_id in item_ids:
        pipe.hgetall(keys.overlay(item_id))
    return [decode(held) for held in await pipe.execute()]


async def append(
    client: AsyncClient,
    changes: Sequence[Change],
    before: Sequence[Overlay],
    limits: CatalogLimits,
    release: int,
    caller: str,
) -> list[Overlay] | None:
    """Append changes, all of them or none.

    Args:
        client: connection to Redis that returns bytes.
        changes: changes of distinct items.
        before: the overlay of each, as it was read.
        limits: bounds of the stream.
        release: the release whose process derives rows and vectors from them.
        caller: who sent them; "" if unknown.

    Returns:
        The overlay of each item with its change; ``None`` if one of them has changed since it was read, or one of the
        changes was appended meanwhile: read them again.

    Raises:
        CatalogFull: the stream has no room.
        RedisError: Redis does not answer.
    """
    now = time.time_ns() // 1_000_000
    places, arguments = [keys.CHANGES, keys.LATEST_CHANGES, keys.CHANGED_MEDIA], []
    for change, overlay in zip(changes, before, strict=True):
        once = keys.CHANGES if change.change_id is None else keys.change_id(change.change_id)
        places += [keys.overlay(change.item_id), once]
        entry, sets = _entry(change, now, caller, release), _sets(overlay.after(change, ""))
        size = sum(len(content) for content in change.media.values() if content)
        is_fresh = change.action == "delete"
        arguments += [change.item_id, overlay.version, int(is_fresh), size, len(entry), *entry, len(sets), *sets]
    bounds = (limits.entries, limits.media_bytes, REMEMBERED_S, release)
    answer: Any = await client.eval(_APPEND, len(places), *places, *bounds, *arguments)
    if answer == [b"stale"]:
        return None
    if answer == [b"full"]:
        raise CatalogFull(
            f"the stream of changes has no room for {len(changes)} more: it takes {limits.entries:,} changes and "
            f"{limits.media_bytes:,} bytes of images and sounds; export them with `winnow events export`"
        )
    versions = [version.decode() for version in answer]
    return [overlay.after(c, v) for overlay, c, v in zip(before, changes, versions, strict=True)]


def decode(held: dict[bytes, bytes]) -> Overlay:
    """The overlay in a hash; the empty one if there is none."""
    values, media = {}, {}
    for name, value in held.items():
        kind, column = chr(name[0]), name[1:].decode()
        if kind == _VALUE:
            values[column] = orjson.loads(value)
        elif kind == _MEDIUM:
            media[column] = value or None
    return Overlay(
        held.get(_VERSION, b"").decode(),
        held.get(_ON_BASE, b"1") == b"1",
        held.get(_DELETED, b"0") == b"1",
        values,
        media,
    )


def _sets(overlay: Overlay) -> list[Any]:
    """The fields of a hash, apart from the version."""
    sets: list[Any] = ["on_base", int(overlay.on_base), "deleted", int(overlay.deleted)]
    for column, value in overlay.values.items():
        sets += [_VALUE + column, orjson.dumps(value)]
    for medium in MEDIA:
        if medium in overlay.media:
            sets += [_MEDIUM + medium, overlay.media[medium] or b""]
    return sets


def _entry(change: Change, now: int, caller: str, release: int) -> list[Any]:
    """The fields of an entry: the change as it was given."""
    entry: list[Any] = ["action", change.action, "item_id", change.item_id, "at", now, "release", release]
    if change.action == "upsert":
        cleared = [medium for medium, content in change.media.items() if content is None]
        entry += ["document", orjson.dumps({**change.values, **dict.fromkeys(cleared)})]
    for medium in MEDIA:
        if change.media.get(medium):
            entry += [medium, change.media[medium]]
    for name, value in (("caller", caller), ("change_id", change.change_id)):
        if value:
            entry += [name, value]
    return entry
