"""The codec of the event stream: an entry's fields, and the event that they describe."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

Entry = tuple[bytes, dict[bytes, bytes]]
"""An entry of the stream: its id and its fields."""


class Event(NamedTuple):
    """One event of the stream.

    Attributes:
        user_id: who.
        item_id: what.
        code: the event type's code; 0 for a type that the release does not declare.
        timestamp: when it happened as the sender says, milliseconds since the epoch.
        at_ms: when it entered the stream by Redis's clock, which no sender can set.
    """

    user_id: str
    item_id: str
    code: int
    timestamp: int
    at_ms: int


def parse(entry: Entry, codes: Mapping[str, int]) -> Event | None:
    """The event of an entry; none where it is not one.

    Args:
        entry: of the stream.
        codes: event type -> code, of :func:`codes_of`.
    """
    stream_id, fields = entry
    try:
        return Event(
            user_id=fields[b"user_id"].decode(),
            item_id=fields[b"item_id"].decode(),
            code=codes.get(fields[b"event"].decode(), 0),
            timestamp=int(fields[b"timestamp"]),
            at_ms=entered(stream_id),
        )
    except (KeyError, ValueError):
        return None


def codes_of(event_types: Sequence[str]) -> dict[str, int]:
    """Code by declared event type."""
    return {event: code for code, event in enumerate(event_types, 1)}


def entered(stream_id: bytes) -> int:
    """When an entry entered the stream, milliseconds since the epoch."""
    return int(stream_id.split(b"-")[0])


def position(stream_id: bytes) -> tuple[int, int]:
    """An entry's id as it compares with others."""
    ms, _, sequence = stream_id.partition(b"-")
    return int(ms), int(sequence)
