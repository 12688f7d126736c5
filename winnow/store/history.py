"""How one event is written into a user's history list: ``timestamp|event|item_id``."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

KEPT = 200
"""Events kept per user, newest first."""


class History(NamedTuple):
    """A user's recent events in index space, oldest first, and the ids of events whose item the release lacks.

    Attributes:
        items: int32 [h].
        events: int32 [h], event type codes.
        timestamps: int64 [h], milliseconds since the epoch.
    """

    items: NDArray[np.int32]
    events: NDArray[np.int32]
    timestamps: NDArray[np.int64]


EMPTY = History(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int64))


def encode(timestamp: int, event: int, item_id: str) -> bytes:
    """One entry; the item's id comes last because it may hold any character."""
    return f"{timestamp}|{event}|{item_id}".encode()


def timestamp(entry: bytes) -> int:
    """When an entry's event happened."""
    return int(entry.split(b"|", 1)[0])


def decode(entries: Iterable[bytes], item_index: Mapping[bytes, int]) -> History:
    """Read a history list, newest first, into arrays sorted by time.

    Entries are sorted because several sidecars may have pushed a user's events slightly out of order. An entry whose
    item the release does not know is left out: the models have no row for it.

    Args:
        entries: what ``LRANGE`` returned.
        item_index: id -> index.
    """
    rows = []
    for entry in entries:
        timestamp, event, item_id = entry.split(b"|", 2)
        index = item_index.get(item_id)
        if index is not None:
            rows.append((int(timestamp), int(event), index))
    if not rows:
        return EMPTY
    table = np.array(rows[::-1], dtype=np.int64)
    table = table[np.argsort(table[:, 0], kind="stable")]
    return History(table[:, 2].astype(np.int32), table[:, 1].astype(np.int32), table[:, 0])
