"""Reads the event and impression streams from one end to the other, without a consumer group."""

from collections.abc import Iterator
from typing import cast

from winnow.store.connection import Client
from winnow.store.events import Entry
from winnow.store.keys import EVENTS, IMPRESSIONS

_EVENTS_PER_READ = 2000
"""Some hundreds of kilobytes."""

_IMPRESSIONS_PER_READ = 1000


def entries(client: Client, after: bytes = b"") -> Iterator[Entry]:
    """Yield the entries of the event stream, oldest first.

    Args:
        client: connection to Redis that returns bytes.
        after: id of the last entry to skip; all entries are yielded when empty.

    Raises:
        RedisError: Redis does not answer.
    """
    while True:
        # redis-py's return type covers all response formats; a client that returns bytes has this one.
        read = cast("list[Entry]", client.xrange(EVENTS, b"(" + after if after else b"-", "+", count=_EVENTS_PER_READ))
        yield from read
        if len(read) < _EVENTS_PER_READ:
            return
        after = read[-1][0]


def newest_impressions(client: Client) -> Iterator[Entry]:
    """Yield the entries of the impression stream, newest first.

    Raises:
        RedisError: Redis does not answer.
    """
    before = b"+"
    while True:
        read = cast("list[Entry]", client.xrevrange(IMPRESSIONS, before, "-", count=_IMPRESSIONS_PER_READ))
        yield from read
        if len(read) < _IMPRESSIONS_PER_READ:
            return
        before = b"(" + read[-1][0]
