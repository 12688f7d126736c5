"""Item rows held in the process: bounded, with an age limit, read and written by whole batches."""

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray


class RowCache:
    """A ring of packed rows with a map from item to place; the oldest written makes room for the newest.

    Lookups and insertions are numpy operations on the whole batch, so their cost does not grow with Python objects.

    Args:
        items: number of items of the release, the padding row not counted.
        dtype: the packed row.
        capacity: rows held at most.
        ttl_s: age in seconds after which a row counts as missing.
    """

    def __init__(self, items: int, dtype: "np.dtype[np.void]", capacity: int, ttl_s: float) -> None:
        self._ttl = ttl_s
        self._capacity = min(capacity, items + 1)
        self._place = np.full(items + 1, -1, dtype=np.int32)
        self._expires = np.zeros(items + 1, dtype=np.float64)
        self._owner = np.zeros(self._capacity, dtype=np.int32)
        self._rows: NDArray[Any] = np.zeros(self._capacity, dtype=dtype)
        self._next = 0

    def get(self, items: NDArray[np.int32]) -> tuple[NDArray[np.void], NDArray[np.bool_], NDArray[np.bool_]]:
        """Rows of a batch of items.

        Returns:
            rows structured [n] (undefined where not held), whether a row is held at all, whether it is young enough.
        """
        places = self._place.take(items)
        held = places >= 0
        fresh = held & (self._expires.take(items) > time.monotonic())
        return self._rows.take(np.maximum(places, 0)), held, fresh

    def ages(self, items: NDArray[np.int32]) -> NDArray[np.float64]:
        """Seconds since the row of each item was written here; NaN where none is held."""
        written = self._expires.take(items) - self._ttl
        return np.where(self._place.take(items) >= 0, time.monotonic() - written, np.nan)

    def put(self, items: NDArray[np.int32], rows: NDArray[np.void]) -> None:
        """Hold the rows of ``items`` (distinct); of more than the capacity, the last."""
        items, rows = items[-self._capacity :], rows[-self._capacity :]
        self._expires[items] = time.monotonic() + self._ttl
        places = self._place[items]
        new = places < 0
        count = int(new.sum())
        if count:
            # Taking places may put out an item of this very batch: places are settled before any row is written.
            taken = (self._next + np.arange(count, dtype=np.int32)) % self._capacity
            self._next = (self._next + count) % self._capacity
            self._place[self._owner[taken]] = -1
            self._owner[taken] = items[new]
            self._place[items[new]] = taken
            places = self._place[items]
        kept = places >= 0
        self._rows[places[kept]] = rows[kept]
