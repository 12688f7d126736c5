"""The codec of a user's history list: one entry is ``timestamp|event code|item_id``.

The list's key is :meth:`winnow.store.keys.StateKeys.history`; :class:`winnow.store.user_activity.UserActivity` writes
it.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

KEPT = 200
"""Maximum number of events per user, newest first."""


class History(NamedTuple):
    """A user's recent events as arrays, oldest first.

    Attributes:
        items: int32 [h], item indices.
        events: int32 [h], event type codes.
        timestamps: int64 [h], milliseconds since the epoch.
    """

    items: NDArray[np.int32]
    events: NDArray[np.int32]
    timestamps: NDArray[np.int64]


EMPTY = History(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int64))


def encode(timestamp: int, event: int, item_id: str) -> bytes:
    """Format an entry. The item id comes last because it may contain any character, ``|`` included."""
    return f"{timestamp}|{event}|{item_id}".encode()


def timestamp(entry: bytes) -> int:
    """The time of an entry's event, in milliseconds since the epoch."""
    return int(entry.split(b"|", 1)[0])


def decode(entries: Iterable[bytes], item_index: Mapping[bytes, int]) -> History:
    """Parse a history list into arrays sorted by time.

    Entries are sorted because several sidecars may push a user's events slightly out of order. Entries of items that
    are not part of the release are dropped: the models have no row for them.

    Args:
        entries: the result of ``LRANGE``, newest first.
        item_index: item id -> index.
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
