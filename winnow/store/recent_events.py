"""What a user did a moment ago: acknowledged events that a sidecar may not have applied yet.

A user reads their own writes: an answer that begins after an event's acknowledgement knows of it, whichever process
gives it, and whether or not a sidecar runs. So whoever appends an event also keeps it in a short list of its user
(:func:`remember`), and whoever reads the user's state puts that list on top of it. What an event does to a user (an
item met, a category touched, an entry of the history) is the same however often it is done: nothing here has to know
what which release's sidecars have applied, or in which order.

The list belongs to no release. It lies in its user's hash slot and holds the user's newest :data:`KEPT` events, for
:data:`REMEMBERED_S` after the last of them.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import orjson

from winnow.store import history, keys
from winnow.store.connection import AsyncClient

KEPT = history.KEPT
"""Events of one user: as many as a history has."""

REMEMBERED_S = 3600
"""How long after the user's last event: a sidecar that is away for longer is an outage that alerts tell of."""


class RecentEvent(NamedTuple):
    """An acknowledged event of a user.

    Attributes:
        event: its type.
        item_id: what was met.
        timestamp: when, as the sender says, milliseconds since the epoch.
    """

    event: str
    item_id: str
    timestamp: int


async def remember(client: AsyncClient, events: Iterable[tuple[bytes, Mapping[bytes, bytes]]]) -> None:
    """Keep events in the lists of their users; those that are there already change nothing.

    Args:
        client: connection to Redis, answering bytes.
        events: id in the stream, and the stream's fields.

    Raises:
        RedisError: Redis refuses.
        OSError: Redis does not answer.
    """
    by_user: dict[str, dict[bytes, int]] = defaultdict(dict)
    for stream_id, fields in events:
        at_ms, member = _encode(stream_id, fields)
        by_user[fields[b"user_id"].decode()][member] = at_ms
    if not by_user:
        return
    pipe = client.pipeline(transaction=False)
    for user_id, members in by_user.items():
        key = keys.recent(user_id)
        pipe.zadd(key, members)
        pipe.zremrangebyrank(key, 0, -KEPT - 1)
        pipe.expire(key, REMEMBERED_S)
    await pipe.execute()


def decode(members: Sequence[bytes]) -> list[RecentEvent]:
    """The events of a user's list, the newest first.

    Args:
        members: what ``ZRANGE`` returned, the oldest first.

    Raises:
        ValueError: they are not what :func:`remember` writes.
    """
    return [
        RecentEvent(event, item_id, timestamp) for _, event, item_id, timestamp in map(orjson.loads, reversed(members))
    ]


def merge_into_history(
    held: Sequence[bytes], events: Sequence[RecentEvent], codes: Mapping[str, int], length: int
) -> Sequence[bytes]:
    """A history with recent events in their places; one that it has already is not put there twice.

    Args:
        held: the newest entries of the history (see :mod:`winnow.store.history`), newest first.
        events: the newest first.
        codes: code by event type; of other types the models know nothing.
        length: how many entries to keep.
    """
    recent = [history.encode(e.timestamp, codes[e.event], e.item_id) for e in events if e.event in codes]
    known = set(held)
    if all(entry in known for entry in recent):
        return held
    # The stream's order decides between events of the same time, and what is not in the list came before them all.
    merged = sorted(dict.fromkeys([*recent, *held]), key=history.timestamp, reverse=True)
    return merged[:length]


def _encode(stream_id: bytes, fields: Mapping[bytes, bytes]) -> tuple[int, bytes]:
    """Score and member. Events of one millisecond are told apart, and ordered, by the beginning of the member."""
    ms, sequence = (int(part) for part in stream_id.split(b"-"))
    event, item_id = fields[b"event"].decode(), fields[b"item_id"].decode()
    return ms, orjson.dumps((f"{ms:013}-{sequence:06}", event, item_id, int(fields[b"timestamp"])))
