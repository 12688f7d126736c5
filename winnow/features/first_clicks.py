"""What users did with what they were shown: the event that each impression led to. NumPy only."""

import numpy as np
from numpy.typing import NDArray

from winnow.features.table import FeatureSet


def first_clicks(features: FeatureSet) -> NDArray[np.int64]:
    """The first event of its user with each shown item, at or after the impression and within its type's window.

    An event may follow several impressions of its item, and is the first event of each of them.

    Returns:
        int64 [shown], rows of ``features.interactions``; -1 where no such event follows.
    """
    log, shown = features.interactions, features.impressions
    requests = np.diff(shown.offsets)
    moment = np.repeat(shown.timestamp, requests)
    pairs, pair = np.unique(_pairs(log.user, log.item, features.items), return_inverse=True)
    asked = _pairs(np.repeat(shown.user, requests), shown.item, features.items)
    asked_pair = np.searchsorted(pairs, asked)
    # One past the end of the pairs is a pair without events.
    known = np.append(pairs, -1)[asked_pair] == asked
    times = np.unique(log.timestamp)
    key = pair * (len(times) + 1) + np.searchsorted(times, log.timestamp)
    asked_key = asked_pair * (len(times) + 1) + np.searchsorted(times, moment)
    nothing = len(log.item)
    found = np.full(len(asked), nothing, np.int64)
    for code, window_ms in enumerate(features.schema.event_windows_ms, start=1):
        rows = np.flatnonzero(log.event == code)
        rows = np.append(rows[np.argsort(key[rows], kind="stable")], nothing)
        next_row = rows[np.searchsorted(key[rows[:-1]], asked_key)]
        same = np.append(pair, -1)[next_row] == asked_pair
        within = np.append(log.timestamp, 0)[next_row] - moment <= window_ms
        found = np.where(known & same & within, np.minimum(found, next_row), found)
    return np.where(found == nothing, -1, found)


def _pairs(user: NDArray[np.integer], item: NDArray[np.int32], items: int) -> NDArray[np.int64]:
    """User and item as one number."""
    return user.astype(np.int64) * (items + 1) + item
