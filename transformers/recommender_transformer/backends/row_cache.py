"""A set-associative cache of item rows: bounded in bytes, with a time to live, read and written in batches."""

import time
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_WAYS = 2
"""Slots per set. With a single one, two popular items in one set would evict each other at every request."""

_OVERHEAD = 12
"""Bytes per row for its item index and the time at which it was read."""


class Found(NamedTuple):
    """The result of a lookup.

    Attributes:
        rows: structured [n]; undefined where not held.
        held: bool [n], whether the cache has a row.
        fresh: bool [n], whether it has one within the time to live.
        age: float64 [n], seconds since the row was read; undefined where not held.
    """

    rows: NDArray[np.void]
    held: NDArray[np.bool_]
    fresh: NDArray[np.bool_]
    age: NDArray[np.float64]


class RowCache:
    """A cache of sets of two slots; a new row evicts the older row of its set.

    Lookups and insertions are NumPy operations on the whole batch. All arrays are allocated at their final size, which
    does not depend on the number of items, so memory stays within the limit. If all items fit, no row is ever evicted.

    Args:
        items: number of items, without the padding row.
        dtype: the packed row.
        limit: bytes of all arrays: rows, item indices and times.
        ttl_s: age in seconds from which a row counts as missing.
    """

    def __init__(self, items: int, dtype: "np.dtype[np.void]", limit: int, ttl_s: float) -> None:
        self._ttl = ttl_s
        self._row_bytes = dtype.itemsize + _OVERHEAD
        self._sets = min(limit // (_WAYS * self._row_bytes), items // _WAYS + 1)
        if not self._sets:
            raise ValueError(f"limit: must hold at least {_WAYS} rows of {self._row_bytes} bytes, got {limit}")
        slots = _WAYS * self._sets
        self._owner = np.full(slots, -1, dtype=np.int32)
        self._read = np.full(slots, -np.inf)
        self._rows: NDArray[Any] = np.zeros(slots, dtype=dtype)

    @property
    def held_bytes(self) -> int:
        """Bytes of the cached rows, their indices and times."""
        return int(np.count_nonzero(self._owner >= 0)) * self._row_bytes

    def get(self, items: NDArray[np.int32]) -> Found:
        """Look up a batch of items."""
        slots, held = self._find(items)
        age = time.monotonic() - self._read.take(slots)
        return Found(self._rows.take(slots), held, held & (age < self._ttl), age)

    def put(self, items: NDArray[np.int32], rows: NDArray[np.void]) -> None:
        """Insert the rows of distinct ``items``, read just now; a set keeps the last of the rows that fall into it."""
        slots, held = self._find(items)
        first = slots - slots % _WAYS
        one, other = self._read.take(first), self._read.take(first + 1)
        # If both slots are equally old, the item determines the slot: two items of one batch may share an empty set.
        way = np.where(one == other, items // self._sets % _WAYS, other < one)
        slots = np.where(held, slots, first + way)
        self._owner[slots] = items
        self._read[slots] = time.monotonic()
        self._rows[slots] = rows

    def _find(self, items: NDArray[np.int32]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """The slot of each item, or a slot of its set if it has none, and whether it has one."""
        slots = _WAYS * (items % self._sets).astype(np.intp)
        slots += self._owner.take(slots + 1) == items
        return slots, self._owner.take(slots) == items
