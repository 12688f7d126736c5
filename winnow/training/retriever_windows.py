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
    """

    user: NDArray[np.int64]
    history: HistoryBatch
    target: NDArray[np.int32]


def first_interactions(log: Interactions) -> NDArray[np.bool_]:
    """Whether a row of the log is its user's first event with its item; bool [events]."""
    user = np.repeat(np.arange(log.users), np.diff(log.offsets))
    pair = user * (int(log.item.max(initial=0)) + 1) + log.item
    first = np.zeros(len(pair), np.bool_)
    first[np.unique(pair, return_index=True)[1]] = True
    return first


def epoch_windows(
    log: Interactions, until: NDArray[np.int64], first: NDArray[np.bool_], length: int, rng: np.random.Generator
) -> Windows:
    """Cut every user's rows before ``until[user]`` into windows of at most ``length`` inputs, anew for every epoch.

    Where a user has more than one window the cut is shifted at random, so that over the epochs an event is learned with
    histories of every length. Repeated interactions with an item are inputs but never targets: the funnel does not
    recommend seen items.

    Args:
        log: the interactions.
        until: int64 [users], row after the last that may be used.
        first: :func:`first_interactions` of ``log``.
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
    target = np.where(usable & first[rows], log.item[rows], 0)
    return Windows(user, history, target)
