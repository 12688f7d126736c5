"""Training windows of the retriever: cuts of the log with the next item of every position as its target.

An epoch is planned as indices into the log, of three numbers a window; the tensors are cut out batch by batch, so
memory grows with the number of users and not with that of the events.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from winnow.features.table import Interactions
from winnow.retrieval.history import HistoryBatch, assemble_many

REPLAYED = 1.0
"""Windows without a new event, in multiples of those with one, of an epoch that goes on from a release."""

_SHUFFLED = 256
"""Batches of one buffer, in which windows of like length are brought together."""


class Windows(NamedTuple):
    """One epoch's windows: a window's inputs are the rows ``start:end`` of the log, its targets ``start + 1:end + 1``.

    Attributes:
        user: int64 [W].
        start: int64 [W].
        end: int64 [W].
    """

    user: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.user)

    def take(self, chosen: NDArray[np.int64]) -> "Windows":
        """The chosen windows."""
        return Windows(self.user[chosen], self.start[chosen], self.end[chosen])


class Batch(NamedTuple):
    """Windows of one step, as wide as the longest of them.

    Attributes:
        user: int64 [B].
        history: inputs, [B, K].
        target: int32 [B, K], the item that came next; 0 where there is no target.
        value: float32 [B, K], what came of the target (:func:`winnow.features.targets.target_values`); negative for an
            item that the user refused.
    """

    user: NDArray[np.int64]
    history: HistoryBatch
    target: NDArray[np.int32]
    value: NDArray[np.float32]

    def take(self, chosen: slice) -> "Batch":
        """Some of its windows."""
        items, events, gaps = self.history
        history = HistoryBatch(items[chosen], events[chosen], gaps[chosen])
        return Batch(self.user[chosen], history, self.target[chosen], self.value[chosen])


def epoch_windows(
    log: Interactions, until: NDArray[np.int64], values: NDArray[np.float32], length: int, rng: np.random.Generator
) -> Windows:
    """Cut every user's rows before ``until[user]`` into windows of at most ``length`` inputs, anew for every epoch.

    Where a user has more than one window the cut is shifted at random, so that over the epochs an event is learned with
    histories of every length. Windows without a target are left out.

    Args:
        log: the interactions.
        until: int64 [users], row after the last that may be used.
        values: float32 [events], :func:`winnow.features.targets.target_values`; rows without a value are no targets.
        length: ``L``.
        rng: source of the shifts.
    """
    begin = log.offsets[:-1]
    last = np.maximum(until - 1, begin)  # the last event has no next one
    shift = np.where(last - begin > length, rng.integers(0, length, log.users), 0)
    head = np.maximum(last - shift, begin)
    whole = -((begin - head) // length)
    user = np.repeat(np.arange(log.users), whole)
    nth = np.arange(len(user)) - np.repeat(np.cumsum(whole) - whole, whole)
    tails = np.flatnonzero(last > head)
    end = np.concatenate([head[user] - nth * length, last[tails]])
    start = np.concatenate([np.maximum(end[: len(user)] - length, begin[user]), head[tails]])
    before = np.concatenate([[0], np.cumsum(values != 0, dtype=np.int64)])
    learned = before[np.minimum(end + 1, len(values))] > before[np.minimum(start + 1, len(values))]
    return Windows(np.concatenate([user, tails]), start, end).take(np.flatnonzero(learned))


def newer_windows(windows: Windows, since: NDArray[np.int64], rng: np.random.Generator) -> Windows:
    """The windows that have a new event among their targets, and a sample of the others against forgetting.

    Args:
        windows: of an epoch.
        since: int64 [users], the row of each user's first new event.
        rng: source of the sample, which is drawn anew for every epoch.
    """
    new = windows.end >= since[windows.user]
    others = np.flatnonzero(~new)
    drawn = rng.choice(others, min(len(others), round(REPLAYED * int(new.sum()))), replace=False)
    return windows.take(np.concatenate([np.flatnonzero(new), drawn]))


def batches(windows: Windows, events: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """The windows in random order, in batches of like length that take ``events`` positions, padding included.

    Most histories of a sparse log are far shorter than ``L``: without padding, a step learns from several times as
    many.

    Args:
        windows: of an epoch.
        events: positions of a batch; at least the longest window's length.
        rng: source of the order.
    """
    length = windows.end - windows.start
    order = rng.permutation(len(windows))
    buffer = max(1, _SHUFFLED * events // max(1, int(length.mean()) if len(length) else 1))
    for first in range(0, len(order), buffer):
        part = order[first : first + buffer]
        part = part[np.argsort(-length[part], kind="stable")]
        cuts, start = [], 0
        while start < len(part):
            # The first window is the longest.
            stop = start + max(1, events // int(length[part[start]]))
            cuts.append(part[start:stop])
            start = stop
        for position in rng.permutation(len(cuts)).tolist():
            yield cuts[position]


def cut(log: Interactions, values: NDArray[np.float32], windows: Windows) -> Batch:
    """The arrays of some windows.

    Events without a value are inputs but never targets.

    Args:
        log: the interactions.
        values: float32 [events].
        windows: at least one.
    """
    width = int((windows.end - windows.start).max())
    history = assemble_many(log.item, log.event, log.timestamp, windows.start, windows.end, width)
    usable = history.items > 0
    rows = np.where(usable, windows.end[:, None] + np.arange(-width, 0) + 1, 0)
    value = np.where(usable, values[rows], np.float32(0.0))
    return Batch(windows.user, history, np.where(value != 0, log.item[rows], 0), value)
