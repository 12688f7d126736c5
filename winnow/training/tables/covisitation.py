"""Fitting of the co-visitation table: items that users interact with close to each other.

Two items of one user, ``d`` steps apart, count ``exp(-d / reach)`` for each other; the sum over all users is divided by
the square root of both items' counts, so that a popular item is not a neighbour of every item. This is the item-to-item
collaborative filtering of Linden et al. (2003) with closeness in the sequence instead of mere membership.

The rows of the table are computed for some items at a time, from the events of these items and what is near them:
memory grows with the size of the table, not with the number of pairs in the log.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from winnow.features.table import Interactions
from winnow.settings.training import CovisitationSettings

_EVENTS = 100_000
"""Events whose neighbourhoods are counted at a time."""

_ITEMS = 1 << 16
"""Items of a block at most: NumPy sorts numbers of 16 bits in linear time."""


def covisitation_table(
    log: Interactions,
    values: NDArray[np.float32],
    until: NDArray[np.int64],
    items: int,
    settings: CovisitationSettings,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The strongest neighbours of every item.

    Args:
        log: the interactions.
        values: float32 [events], the value of each event; those of a negative one do not count.
        until: int64 [users], row of the log after the last of each user that may be used.
        items: ``n``.
        settings: reach of a co-visit, and ``M``, neighbours per item at most.

    Returns:
        neighbours int32 [n + 1, M], best first (ties: the smaller index first) and padded with 0, and weights float32
        [n + 1, M].
    """
    user = log.user
    usable = (np.arange(len(log.item)) < until[user]) & (values >= 0)
    user, item = user[usable], log.item[usable]
    begin, end = np.searchsorted(user, user), np.searchsorted(user, user, side="right")
    by_item = np.argsort(item, kind="stable")
    offsets = np.searchsorted(item[by_item], np.arange(items + 2))
    damping = 1.0 / np.sqrt(np.diff(offsets) + 1.0)
    kept = settings.neighbours
    neighbours, weights = np.zeros((items + 1, kept), np.int32), np.zeros((items + 1, kept), np.float32)
    for first, last in _blocks(offsets):
        shape = (last - first, items + 1)
        visits: sparse.csr_array = sparse.csr_array(shape, dtype=np.float64)
        for start in range(offsets[first], offsets[last], _EVENTS):
            events = by_item[start : min(start + _EVENTS, offsets[last])]
            counts, (of, other) = _visits(item, events, begin[events], end[events], settings)
            visits = visits + sparse.csr_array((counts, (of - first, other)), shape=shape)
        row = np.repeat(np.arange(last - first), np.diff(visits.indptr))
        strength = (visits.data * damping[first + row] * damping[visits.indices]).astype(np.float32)
        strength[visits.indices == first + row] = 0.0
        # Stable, so that equal ones stay in the order of the other items.
        order = np.argsort(-strength, kind="stable")
        order = order[np.argsort(row[order].astype(np.uint16), kind="stable")]
        place = np.arange(len(order)) - visits.indptr[row[order]]
        best = (place < kept) & (strength[order] > 0)
        order, to = order[best], (first + row[order[best]], place[best])
        neighbours[to], weights[to] = visits.indices[order], strength[order]
    return neighbours, weights


def _blocks(offsets: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Ranges of items that have some :data:`_EVENTS` events together, or one item that has more."""
    first, items = 1, len(offsets) - 1
    while first < items:
        last = int(np.searchsorted(offsets, offsets[first] + _EVENTS, side="right")) - 1
        last = min(max(last, first + 1), first + _ITEMS, items)
        yield first, last
        first = last


def _visits(
    item: NDArray[np.int32],
    events: NDArray[np.int64],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    settings: CovisitationSettings,
) -> tuple[NDArray[np.float64], tuple[NDArray[np.int32], NDArray[np.int32]]]:
    """What the events that are near some others count for them, and the items of both.

    Args:
        item: int32 [usable events], in the order of the log.
        events: int64 [k], positions in ``item``.
        begin: int64 [k], where the events of each one's user begin.
        end: int64 [k], and where they end.
        settings: of the table.
    """
    counts, rows, columns = [np.zeros(0)], [item[:0]], [item[:0]]
    before, after = np.arange(len(events)), np.arange(len(events))
    for step in range(1, settings.farthest):
        before = before[events[before] - step >= begin[before]]
        after = after[events[after] + step < end[after]]
        counts.append(np.full(len(before) + len(after), np.exp(-step / settings.reach)))
        rows += [item[events[before]], item[events[after]]]
        columns += [item[events[before] - step], item[events[after] + step]]
    return np.concatenate(counts), (np.concatenate(rows), np.concatenate(columns))
