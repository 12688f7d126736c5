"""Stable 128-bit item hashes, the keys of the Bloom filters: equal in every process and release.

Python's own ``hash`` of a string is salted per process, so the transformer could not read a filter that the sidecar
wrote. An item's hash is computed once; ``rbloom`` takes it unchanged (``operator.index`` as its hash function).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import overload

import numpy as np
from numpy.typing import NDArray

WORDS = 8
"""Bits that a filter sets per item, and therefore generator words that are precomputed per item."""

_MULTIPLIER = 47026247687942121848144207491837418733
"""Multiplier of rbloom's linear congruential generator; a test checks that the two agree."""

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def item_hash(item_id: str) -> int:
    """The signed 128-bit hash of an item id."""
    return int.from_bytes(_digest(item_id), "little", signed=True)


def item_hashes(item_ids: Iterable[str]) -> ItemHashes:
    """The hashes of a sequence of items, by item index."""
    return ItemHashes(b"".join(map(_digest, item_ids)))


class ItemHashes(Sequence[int]):
    """Hashes by item index: a sequence of ints, and a table for batch look-ups.

    ``rbloom`` maps a hash to bit positions with a linear congruential generator (its ``lcg::Random``): position ``j``
    is the generator's ``j``-th word modulo the number of bits. The words do not depend on the filter, so they are
    computed once per item rather than once per item, request and layer.

    Args:
        digests: the concatenated hashes, 16 bytes each, little-endian.
    """

    def __init__(self, digests: bytes) -> None:
        self._halves: NDArray[np.uint64] = np.frombuffer(digests, "<u8").reshape(-1, 2).copy()
        self._words = _words(self._halves)

    @classmethod
    def of(cls, values: Iterable[int]) -> ItemHashes:
        """Build a table from signed 128-bit ints."""
        return cls(b"".join(value.to_bytes(16, "little", signed=True) for value in values))

    def words(self, items: NDArray[np.int32] | NDArray[np.int64]) -> NDArray[np.uint64]:
        """The first generator words of each item.

        Args:
            items: integers [n], item indices.

        Returns:
            uint64 [n, WORDS].
        """
        return self._words.take(items, axis=0)

    def lower(self, items: NDArray[np.int64]) -> NDArray[np.uint64]:
        """The lower 64 bits of each item's hash: uint64 [n]."""
        return self._halves[:, 0].take(items)

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> ItemHashes: ...
    def __getitem__(self, index: int | slice) -> int | ItemHashes:
        if isinstance(index, slice):
            return ItemHashes(self._halves[index].tobytes())
        return int.from_bytes(self._halves[index].tobytes(), "little", signed=True)

    def __setitem__(self, index: int, value: int) -> None:
        single = ItemHashes.of([value])
        self._halves[index], self._words[index] = single._halves[0], single._words[0]

    def __len__(self) -> int:
        return len(self._halves)

    def __add__(self, others: Sequence[int]) -> ItemHashes:
        return ItemHashes(self._halves.tobytes() + ItemHashes.of(others)._halves.tobytes())


def _digest(item_id: str) -> bytes:
    return blake2b(item_id.encode(), digest_size=16).digest()


def _words(halves: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The generator's first words: 128-bit arithmetic on 64-bit halves (column 0 is the lower half)."""
    words = np.empty((len(halves), WORDS), np.uint64)
    low, high = halves.T
    factor_low, factor_high = np.uint64(_MULTIPLIER & 0xFFFFFFFFFFFFFFFF), np.uint64(_MULTIPLIER >> 64)
    for column in range(WORDS):
        high = _upper(low, factor_low) + low * factor_high + high * factor_low
        low = low * factor_low + np.uint64(1)
        high += low == 0
        words[:, column] = (high << _HALF) | (low >> _HALF)
    return words


def _upper(values: NDArray[np.uint64], factor: np.uint64) -> NDArray[np.uint64]:
    """The upper 64 bits of 128-bit products."""
    left, right = values >> _HALF, values & _LOW
    upper, lower = factor >> _HALF, factor & _LOW
    middle = left * lower + ((right * lower) >> _HALF)
    above: NDArray[np.uint64] = left * upper + (middle >> _HALF) + (((middle & _LOW) + right * upper) >> _HALF)
    return above
