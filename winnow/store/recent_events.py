"""A user's recent events: acknowledged, but possibly not yet applied by the sidecars.

Users read their own writes: a recommendation that starts after an event was acknowledged reflects the event, in every
process and with or without a running sidecar. The events model therefore also writes each event to a short sorted set
of its user (:func:`remember`), and the online store merges it into the user state that it reads. Applying an event (a
seen item, a touched category, an entry of the history) is idempotent, so the set needs no record of which release's
sidecars have applied which events, or in which order.

The set is shared by all releases. It is in its user's hash slot and holds the newest :data:`KEPT` events; it expires
:data:`REMEMBERED_S` seconds after the last one.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import orjson

from winnow.erasures.tombstone import tombstone_key
from winnow.store import history, keys
from winnow.store.connection import AsyncClient

KEPT = history.KEPT
"""Maximum number of events per user: the length of a history."""

REMEMBERED_S = 3600
"""Expiry after the user's last event, in seconds; a sidecar that is down for longer has raised an alert."""

_REMEMBER = f"""
local gone = redis.call('GET', KEYS[2])
local after = gone and tonumber(string.match(gone, '^%d+')) or -1
local listed = false
for position = 1, #ARGV, 2 do
  if tonumber(ARGV[position]) > after then
    redis.call('ZADD', KEYS[1], ARGV[position], ARGV[position + 1])
    listed = true
  end
end
if listed then
  redis.call('ZREMRANGEBYRANK', KEYS[1], 0, {-KEPT - 1})
  redis.call('EXPIRE', KEYS[1], {REMEMBERED_S})
end
"""
"""One script, so that an event from before the user was erased or merged cannot bring the list back."""


class RecentEvent(NamedTuple):
    """An acknowledged event.

    Attributes:
        event: event type.
        item_id: id of the item.
        timestamp: when the event happened by the sender's clock, in milliseconds since the epoch.
    """

    event: str
    item_id: str
    timestamp: int


async def remember(
    client: AsyncClient, events: Iterable[tuple[bytes, Mapping[bytes, bytes]]], refreshing: Collection[str] = ()
) -> None:
    """Add events to their users' lists; events that are already listed change nothing.

    Args:
        client: connection to Redis that returns bytes.
        events: stream id and fields of each event.
        refreshing: event types after which an item counts as not shown (:mod:`winnow.store.business.shown`).

    Raises:
        RedisError: Redis refuses.
        OSError: Redis does not answer.
    """
    by_user: dict[str, dict[bytes, int]] = defaultdict(dict)
    refreshed: dict[str, list[bytes]] = defaultdict(list)
    for stream_id, fields in events:
        at_ms, member = _encode(stream_id, fields)
        user_id = fields[b"user_id"].decode()
        by_user[user_id][member] = at_ms
        if fields[b"event"].decode() in refreshing:
            refreshed[user_id].append(fields[b"item_id"])
    if not by_user:
        return
    pipe = client.pipeline(transaction=False)
    for user_id, members in by_user.items():
        scored = (part for member, at_ms in members.items() for part in (at_ms, member))
        pipe.eval(_REMEMBER, 2, keys.recent(user_id), tombstone_key(user_id), *scored)
    for user_id, item_ids in refreshed.items():
        pipe.zrem(keys.shown(user_id), *item_ids)
    await pipe.execute()


def decode(members: Sequence[bytes]) -> list[RecentEvent]:
    """Parse a user's list; returns the events newest first.

    Args:
        members: the result of ``ZRANGE``, oldest first.

    Raises:
        ValueError: a member does not have the format that :func:`remember` writes.
    """
    return [
        RecentEvent(event, item_id, timestamp) for _, event, item_id, timestamp in map(orjson.loads, reversed(members))
    ]


def merge_into_history(
    held: Sequence[bytes], events: Sequence[RecentEvent], codes: Mapping[str, int], length: int
) -> Sequence[bytes]:
    """Merge recent events into a history by time, without duplicates.

    Args:
        held: the newest entries of the history (:mod:`winnow.store.history`), newest first.
        events: recent events, newest first.
        codes: event type -> code; events of other types are dropped, because the models have no code for them.
        length: number of entries to return.

    Returns:
        Entries of the merged history, newest first.
    """
    recent = [history.encode(e.timestamp, codes[e.event], e.item_id) for e in events if e.event in codes]
    known = set(held)
    if all(entry in known for entry in recent):
        return held
    # Events with equal timestamps keep the stream's order: entries that are only in the history came earlier.
    merged = sorted(dict.fromkeys([*recent, *held]), key=history.timestamp, reverse=True)
    return merged[:length]


def _encode(stream_id: bytes, fields: Mapping[bytes, bytes]) -> tuple[int, bytes]:
    """Score and member of an event. The member's prefix distinguishes and orders events of one millisecond."""
    ms, sequence = (int(part) for part in stream_id.split(b"-"))
    event, item_id = fields[b"event"].decode(), fields[b"item_id"].decode()
    return ms, orjson.dumps((f"{ms:013}-{sequence:06}", event, item_id, int(fields[b"timestamp"])))
