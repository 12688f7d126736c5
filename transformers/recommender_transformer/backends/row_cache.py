"""Item rows held in the process: bounded in bytes, with an age limit, read and written by whole batches."""

import time
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_WAYS = 2
"""Places an item may lie in: with one, two items in demand at once would put each other out for ever."""

_BESIDE = 12
"""Bytes beside each row: whose it is, and when it was read."""


class Found(NamedTuple):
    """What is held of a batch of items.

    Attributes:
        rows: structured [n]; undefined where not held.
        held: whether there is a row at all.
        fresh: whether there is one that is young enough.
        age: seconds since the row was read; undefined where not held.
    """

    rows: NDArray[np.void]
    held: NDArray[np.bool_]
    fresh: NDArray[np.bool_]
    age: NDArray[np.float64]


class RowCache:
    """Sets of two places each; an item's row lies in either place of its set, and puts out the older of the two.

    Lookups and insertions are numpy operations on the whole batch, so their cost does not grow with Python objects.
    Every array has its final size from the start and none has an entry per item, so what is held stays within the bound
    however many items there are. Where all of them fit, no row ever puts out another.

    Args:
        items: number of items that can be asked for, the padding row not counted.
        dtype: the packed row.
        limit: bytes of all arrays together: rows, whose they are, and when they were read.
        ttl_s: age in seconds after which a row counts as missing.
    """

    def __init__(self, items: int, dtype: "np.dtype[np.void]", limit: int, ttl_s: float) -> None:
        self._ttl = ttl_s
        self._row_bytes = dtype.itemsize + _BESIDE
        self._sets = min(limit // (_WAYS * self._row_bytes), items // _WAYS + 1)
        if not self._sets:
            raise ValueError(f"limit: must hold at least {_WAYS} rows of {self._row_bytes} bytes, got {limit}")
        places = _WAYS * self._sets
        self._owner = np.full(places, -1, dtype=np.int32)
        self._read = np.full(places, -np.inf)
        self._rows: NDArray[Any] = np.zeros(places, dtype=dtype)

    @property
    def held_bytes(self) -> int:
        """Bytes of the rows that are held, and of what is beside them."""
        return int(np.count_nonzero(self._owner >= 0)) * self._row_bytes

    def get(self, items: NDArray[np.int32]) -> Found:
        """Rows of a batch of items."""
        places, held = self._find(items)
        age = time.monotonic() - self._read.take(places)
        return Found(self._rows.take(places), held, held & (age < self._ttl), age)

    def put(self, items: NDArray[np.int32], rows: NDArray[np.void]) -> None:
        """Hold the rows of ``items`` (distinct), just read; of more than fit into a set, the last."""
        places, held = self._find(items)
        first = places - places % _WAYS
        one, other = self._read.take(first), self._read.take(first + 1)
        # Two items of this very batch may meet in an empty set; each has its own side there.
        way = np.where(one == other, items // self._sets % _WAYS, other < one)
        places = np.where(held, places, first + way)
        self._owner[places] = items
        self._read[places] = time.monotonic()
        self._rows[places] = rows

    def _find(self, items: NDArray[np.int32]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """The place of each item, or one of its set where it has none, and whether it has one."""
        places = _WAYS * (items % self._sets).astype(np.intp)
        places += self._owner.take(places + 1) == items
        return places, self._owner.take(places) == items
