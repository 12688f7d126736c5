"""Target moments of the log, and their labels: which interactions a model learns to predict, and what came of them.

Features of a moment come from before it, its labels from it and the attribution windows after it.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from winnow.features.segments import first_after
from winnow.features.table import FeatureSet, Interactions
from winnow.schema import FeatureSchema

_EVENTS = 1_000_000
"""Events of a part of the log, or one user's if these are more."""


class Outcomes(NamedTuple):
    """What came of target moments.

    Attributes:
        grade: float32 [Q, E], the largest grade of each event type that the user gave to the item within its window.
        known: bool [Q, E], whether the window had ended by the end of the log.
    """

    grade: NDArray[np.float32]
    known: NDArray[np.bool_]

    def take(self, chosen: NDArray[np.int64]) -> "Outcomes":
        """The chosen moments."""
        return Outcomes(self.grade[chosen], self.known[chosen])


def event_values(log: Interactions, schema: FeatureSchema) -> NDArray[np.float32]:
    """The value of every event: that of its type, times its grade; float32 [events]."""
    return schema.value_by_code.astype(np.float32)[log.event] * log.grade


def target_rows(features: FeatureSet) -> NDArray[np.bool_]:
    """Which rows of the log the models learn to predict; bool [events].

    A recommendation leads to the first event with an item, and later events within the attribution windows come of it.
    Where repeats are allowed, an event after the longest window begins anew.
    """
    log, schema = features.interactions, features.schema
    targets = np.zeros(len(log.item), np.bool_)
    window = max(schema.event_windows_ms, default=0)
    # A log that is shorter than the window has no clock to tell visits apart: every later moment begins anew.
    window = window if len(targets) and np.ptp(log.timestamp) > window else 0
    for part in _parts(log):
        order, begins = _by_pair(log, part)
        if schema.repeats == "allow":
            begins |= np.diff(log.timestamp[order], prepend=0) > window
        targets[order[begins]] = True
    return targets


def newest_of_users(log: Interactions, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The newest of the chosen rows (bool [events]) of each user; int64 [users], -1 for a user without one."""
    newest = np.full(log.users, -1)
    np.maximum.at(newest, log.user, np.where(chosen, np.arange(len(chosen)), -1))
    return newest


def newest_rows(rows: NDArray[np.int64], timestamp: NDArray[np.int64], limit: int) -> NDArray[np.int64]:
    """The newest ``limit`` of some rows of the log (int64 [k]), in the order of the log."""
    return np.sort(rows[np.argsort(-timestamp[rows], kind="stable")[:limit]])


def outcomes(features: FeatureSet, rows: NDArray[np.int64]) -> Outcomes:
    """The labels of the moments ``rows`` (int64 [Q]) of the log."""
    log, schema = features.interactions, features.schema
    grade = np.zeros((len(rows), len(schema.events)), np.float32)
    order = np.argsort(rows, kind="stable")
    ascending = rows[order]
    for part in _parts(log):
        inside = order[slice(*np.searchsorted(ascending, (part.start, part.stop)))]
        if len(inside):
            grade[inside] = _grades(log, part, rows[inside], schema.event_windows_ms)
    until = log.timestamp[rows][:, None] + np.array(schema.event_windows_ms, np.int64)
    return Outcomes(grade, until < features.as_of)


def _grades(log: Interactions, part: slice, rows: NDArray[np.int64], windows_ms: Sequence[int]) -> NDArray[np.float32]:
    """The grades of the moments ``rows`` (int64 [Q], at least one), all in ``part``; float32 [Q, E]."""
    order, begins = _by_pair(log, part)
    place = np.empty(len(order), np.int64)
    place[order - part.start] = np.arange(len(order))
    first = np.sort(place[rows - part.start])
    of_moment = np.searchsorted(first, place[rows - part.start])
    starts = np.append(np.flatnonzero(begins), len(order))
    last = starts[np.searchsorted(starts, first, side="right")]
    timestamp, event, graded = log.timestamp[order], log.event[order], np.append(log.grade[order], np.float32(0.0))
    grade = np.zeros((len(rows), len(windows_ms)), np.float32)
    for column, window in enumerate(windows_ms):
        end = first_after(timestamp, first, last, timestamp[first] + window)
        of_type = graded * np.append(event == column + 1, False)
        largest = np.maximum.reduceat(of_type, np.stack([first, end], axis=1).ravel())[::2]
        grade[:, column] = largest[of_moment]
    return grade


def target_values(features: FeatureSet, targets: NDArray[np.bool_]) -> NDArray[np.float32]:
    """What came of every target, in units of the mean positive one; float32 [events], 0 for rows that are no targets.

    A negative number is an item that the user refused. Where all values are equal, every target has 1. A moment whose
    window has not ended counts with what has happened so far.
    """
    rows = np.flatnonzero(targets)
    worth = outcomes(features, rows).grade @ np.array(features.schema.event_values, np.float32)
    positive = worth[worth > 0]
    values = np.zeros(len(targets), np.float32)
    values[rows] = worth / (positive.mean() if len(positive) else 1.0)
    return values


def _parts(log: Interactions) -> Iterator[slice]:
    """The rows of the log, some users' at a time, so that memory does not grow with the log."""
    user = 0
    while user < log.users:
        start = int(log.offsets[user])
        after = int(np.searchsorted(log.offsets, start + _EVENTS, side="right")) - 1
        user = max(after, user + 1)
        yield slice(start, int(log.offsets[user]))


def _by_pair(log: Interactions, part: slice) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The rows of a part of the log by user, item and time, and whether each is the first of its user and item."""
    rows, item = np.arange(part.start, part.stop), log.item[part]
    pair = log.user_of(rows) * (int(item.max(initial=0)) + 1) + item
    # The log is sorted by user and time, so a stable sort keeps the time order within a pair.
    order = np.argsort(pair, kind="stable")
    return rows[order], np.diff(pair[order], prepend=-1) != 0
