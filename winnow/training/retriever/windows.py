"""Training windows of the retriever: cuts of the log with the next item of every position as its target."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from winnow.features.table import Interactions
from winnow.retrieval.history import HistoryBatch, assemble_many


class Windows(NamedTuple):
    """One epoch's windows.

    Attributes:
        user: int64 [W].
        history: inputs, [W, L].
        target: int32 [W, L], the item that came next; 0 where there is no target.
        value: float32 [W, L], what came of the target (:func:`winnow.features.targets.target_values`); negative for an
            item that the user refused.
    """

    user: NDArray[np.int64]
    history: HistoryBatch
    target: NDArray[np.int32]
    value: NDArray[np.float32]


def epoch_windows(
    log: Interactions, until: NDArray[np.int64], values: NDArray[np.float32], length: int, rng: np.random.Generator
) -> Windows:
    """Cut every user's rows before ``until[user]`` into windows of at most ``length`` inputs, anew for every epoch.

    Where a user has more than one window the cut is shifted at random, so that over the epochs an event is learned with
    histories of every length. Events without a value are inputs but never targets.

    Args:
        log: the interactions.
        until: int64 [users], row after the last that may be used.
        values: float32 [events], :func:`winnow.features.targets.target_values`.
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
    ends = np.concatenate([head[user] - nth * length, last[tails]])
    starts = np.concatenate([np.maximum(ends[: len(user)] - length, begin[user]), head[tails]])
    user = np.concatenate([user, tails])
    history = assemble_many(log.item, log.event, log.timestamp, starts, ends, length)
    rows = ends[:, None] + np.arange(-length, 0) + 1
    usable = history.items > 0
    rows = np.where(usable, rows, 0)
    value = np.where(usable, values[rows], np.float32(0.0))
    return Windows(user, history, np.where(value != 0, log.item[rows], 0), value)
