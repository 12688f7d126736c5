"""Stable 128-bit item hashes, the keys of the Bloom filters: equal in every process and release.

Python's own ``hash`` of a string is salted per process, so the transformer could not read a filter that the sidecar
wrote. An item's hash is computed once; ``rbloom`` takes it unchanged (``operator.index`` as its hash function).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Protocol, overload

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
    halves = _halves(b"".join(map(_digest, item_ids)))
    return ItemHashes(halves, _words(halves))


def lower_halves(item_ids: Iterable[bytes]) -> NDArray[np.uint64]:
    """The lower 64 bits of the hashes of item ids in UTF-8: uint64 [n]."""
    return _halves(b"".join([blake2b(item_id, digest_size=16).digest() for item_id in item_ids]))[:, 0]


class HashWords(Protocol):
    """Gives the generator words of items by index."""

    def words(self, items: NDArray[np.int32] | NDArray[np.int64]) -> NDArray[np.uint64]:
        """The first generator words of each item: uint64 [n, WORDS]."""
        ...


class ItemHashes(Sequence[int]):
    """Hashes by item index: a sequence of ints, and a table for batch look-ups. The arrays may be memory-mapped.

    ``rbloom`` maps a hash to bit positions with a linear congruential generator (its ``lcg::Random``): position ``j``
    is the generator's ``j``-th word modulo the number of bits. The words do not depend on the filter, so they are
    computed once per item rather than once per item, request and layer.

    Args:
        halves: uint64 [n, 2], the hashes; the lower half first.
        table: uint64 [n, WORDS], the first generator words of each.
    """

    def __init__(self, halves: NDArray[np.uint64], table: NDArray[np.uint64]) -> None:
        self.halves, self.table = np.asarray(halves), np.asarray(table)

    @classmethod
    def of(cls, values: Iterable[int]) -> ItemHashes:
        """Build a table from signed 128-bit ints."""
        halves = _halves(b"".join(value.to_bytes(16, "little", signed=True) for value in values))
        return cls(halves, _words(halves))

    def words(self, items: NDArray[np.int32] | NDArray[np.int64]) -> NDArray[np.uint64]:
        """The first generator words of each item.

        Args:
            items: integers [n], item indices.

        Returns:
            uint64 [n, WORDS].
        """
        return self.table.take(items, axis=0)

    def lower(self, items: NDArray[np.int32] | NDArray[np.int64]) -> NDArray[np.uint64]:
        """The lower 64 bits of each item's hash: uint64 [n]."""
        return self.halves[:, 0].take(items)

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> ItemHashes: ...
    def __getitem__(self, index: int | slice) -> int | ItemHashes:
        if isinstance(index, slice):
            return ItemHashes(self.halves[index], self.table[index])
        return int.from_bytes(self.halves[index].tobytes(), "little", signed=True)

    def __len__(self) -> int:
        return len(self.halves)


def _digest(item_id: str) -> bytes:
    return blake2b(item_id.encode(), digest_size=16).digest()


def _halves(digests: bytes) -> NDArray[np.uint64]:
    """Concatenated hashes of 16 bytes, little-endian, as uint64 [n, 2]."""
    return np.frombuffer(digests, "<u8").reshape(-1, 2)


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
