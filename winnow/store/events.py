"""The codec of the event stream: parses entries into events."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import NamedTuple

Entry = tuple[bytes, dict[bytes, bytes]]
"""An entry of a Redis stream: id and fields."""


class Event(NamedTuple):
    """An event of the stream.

    Attributes:
        user_id: id of the user.
        item_id: id of the item.
        code: code of the event type; 0 for a type that the release does not declare.
        timestamp: when the event happened by the sender's clock, in milliseconds since the epoch.
        at_ms: when the event entered the stream by Redis's clock, which senders cannot set, in milliseconds.
        amount: grades the event where its type is graded; ``None`` where unknown.
    """

    user_id: str
    item_id: str
    code: int
    timestamp: int
    at_ms: int
    amount: float | None = None


def parse(entry: Entry, codes: Mapping[str, int]) -> Event | None:
    """Parse an entry; returns ``None`` for an entry that is not a valid event.

    Args:
        entry: an entry of the event stream.
        codes: event type -> code, from :func:`event_codes`.
    """
    stream_id, fields = entry
    try:
        return Event(
            user_id=fields[b"user_id"].decode(),
            item_id=fields[b"item_id"].decode(),
            code=codes.get(fields[b"event"].decode(), 0),
            timestamp=int(fields[b"timestamp"]),
            at_ms=entered_ms(stream_id),
            amount=amount_of(fields),
        )
    except (KeyError, ValueError):
        return None


def amount_of(fields: Mapping[bytes, bytes]) -> float | None:
    """The amount of an entry's fields; ``None`` where it has none.

    Raises:
        ValueError: it is not a finite number of 0 or more.
    """
    if b"amount" not in fields:
        return None
    amount = float(fields[b"amount"])
    if not (isfinite(amount) and amount >= 0):
        raise ValueError(f"the amount {amount} is not a finite number of 0 or more")
    return amount


def event_codes(event_types: Sequence[str]) -> dict[str, int]:
    """The code of each declared event type; codes begin at 1."""
    return {event: code for code, event in enumerate(event_types, 1)}


def entered_ms(stream_id: bytes) -> int:
    """When an entry entered the stream, in milliseconds since the epoch: the first part of its id."""
    return int(stream_id.split(b"-")[0])


def position(stream_id: bytes) -> tuple[int, int]:
    """An entry's id as a sort key: ids of different lengths do not compare as bytes."""
    ms, _, sequence = stream_id.partition(b"-")
    return int(ms), int(sequence)
