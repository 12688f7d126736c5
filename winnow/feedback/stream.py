"""Read the event stream from end to end."""

from collections.abc import Iterator
from typing import cast

from winnow.store.connection import Client
from winnow.store.events import Entry
from winnow.store.keys import EVENTS

_READ = 2000
"""Entries of one read: some hundreds of kilobytes."""


def entries(client: Client, after: bytes = b"") -> Iterator[Entry]:
    """Every entry of the stream after ``after`` (of all when empty), oldest first, up to its end.

    Raises:
        RedisError: Redis does not answer.
    """
    while True:
        # The client's types cover every dialect of its protocol; with bytes the answer is this.
        read = cast("list[Entry]", client.xrange(EVENTS, b"(" + after if after else b"-", "+", count=_READ))
        yield from read
        if len(read) < _READ:
            return
        after = read[-1][0]
