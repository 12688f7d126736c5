"""What users did with what they were shown: the event that each impression led to. NumPy only."""

import numpy as np
from numpy.typing import NDArray

from winnow.features.segments import first_after
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
    asked = _pairs(np.repeat(shown.user, requests), shown.item, features.items)
    was_shown = np.zeros(log.users, np.bool_)
    was_shown[shown.user] = True
    own = np.flatnonzero(np.repeat(was_shown, np.diff(log.offsets)))
    pair = _pairs(log.user_of(own), log.item[own], features.items)
    # The log is sorted by user and time, so a stable sort keeps the time order within a pair.
    order = np.argsort(pair, kind="stable")
    nothing = len(log.item)
    found = np.full(len(asked), nothing, np.int64)
    for code, window_ms in enumerate(features.schema.event_windows_ms, start=1):
        of_type = order[log.event[own[order]] == code]
        rows, pairs = own[of_type], pair[of_type]
        times, end = log.timestamp[rows], np.searchsorted(pairs, asked, side="right")
        place = first_after(times, np.searchsorted(pairs, asked), end, moment - 1)
        hit = np.flatnonzero(place < end)
        hit = hit[times[place[hit]] - moment[hit] <= window_ms]
        found[hit] = np.minimum(found[hit], rows[place[hit]])
    return np.where(found == nothing, -1, found)


def _pairs(user: NDArray[np.integer], item: NDArray[np.int32], items: int) -> NDArray[np.int64]:
    """User and item as one number."""
    return user.astype(np.int64) * (items + 1) + item
