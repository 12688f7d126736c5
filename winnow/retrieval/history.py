"""A user's recent events as the models read them; shared by training and serving."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class HistoryBatch(NamedTuple):
    """The three history tensors of the wire contract, oldest first, left-padded with 0.

    Attributes:
        items: int32 [B, L], item indices.
        events: int32 [B, L], event type codes.
        gaps: float32 [B, L], seconds since the event before; 0 for the first event of the window and for padding.
    """

    items: NDArray[np.int32]
    events: NDArray[np.int32]
    gaps: NDArray[np.float32]


def assemble(
    items: NDArray[np.int32], events: NDArray[np.int32], timestamps: NDArray[np.int64], length: int
) -> HistoryBatch:
    """One user's newest ``length`` events as a batch of one.

    Args:
        items: int32 [h], oldest first; any ``h``, 0 included.
        events: int32 [h], event type codes.
        timestamps: int64 [h], milliseconds since the epoch.
        length: ``L``, the release's history length.
    """
    return assemble_many(items, events, timestamps, np.array([0]), np.array([len(items)]), length)


def assemble_many(
    items: NDArray[np.int32],
    events: NDArray[np.int32],
    timestamps: NDArray[np.int64],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    length: int,
) -> HistoryBatch:
    """The newest ``length`` events of each slice ``starts[b]:ends[b]`` of a log sorted by user, then time.

    Args:
        items: int32 [events].
        events: int32 [events], event type codes.
        timestamps: int64 [events], milliseconds since the epoch.
        starts: int64 [B], first row that may be used.
        ends: int64 [B], row after the last that may be used.
        length: ``L``.
    """
    rows = ends[:, None] + np.arange(-length, 0)
    present = rows >= starts[:, None]
    if not len(items):
        empty = np.zeros(rows.shape, np.int32)
        return HistoryBatch(empty, empty, empty.astype(np.float32))
    rows = np.where(present, rows, 0)
    times = timestamps[rows]
    gaps = np.zeros(rows.shape, np.float32)
    # The window's first event has gap 0: a server that reads the window alone cannot compute another.
    follows = present[:, 1:] & present[:, :-1]
    gaps[:, 1:] = np.where(follows, np.maximum(times[:, 1:] - times[:, :-1], 0) / 1000.0, 0.0)
    return HistoryBatch(np.where(present, items[rows], 0), np.where(present, events[rows], 0), gaps)


def user_tensors(history: HistoryBatch, rows: NDArray[np.void]) -> dict[str, NDArray[Any]]:
    """The five history and user tensors that retriever and ranker take, in the order of their ``forward``.

    Args:
        history: of B users.
        rows: structured [B], their packed rows. A schema without such columns sends one column of zeros, because a
            tensor on the wire cannot have width 0.
    """
    tensors: dict[str, NDArray[Any]] = {f"history_{name}": array for name, array in history._asdict().items()}
    for name in ("categorical", "numeric"):
        columns = np.ascontiguousarray(rows[name])
        tensors[f"user_{name}"] = columns if columns.shape[1] else np.zeros((len(rows), 1), columns.dtype)
    return tensors
