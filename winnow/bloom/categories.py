"""A user's category filter: the categories of every item the user ever interacted with, in one Redis string.

Unlike the seen filter it has no time windows: an interest in a category does not expire.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from winnow.bloom import packing
from winnow.bloom.hashing import ItemHashes
from winnow.bloom.scalable import ScalableBloomFilter

FALSE_POSITIVE_RATE = 0.01
"""Upper bound on the share of untouched categories that the filter reports as touched."""

INITIAL_CAPACITY = 16
"""Capacity of the first layer, 24 bytes: most users touch only a few categories."""

_HEAD = b"WC\x01"
"""Magic bytes and format version."""


class CategoryFilter:
    """The categories a user has touched, as :func:`~winnow.bloom.hashing.item_hash` of their names."""

    def __init__(self) -> None:
        self._layers = ScalableBloomFilter(INITIAL_CAPACITY, FALSE_POSITIVE_RATE)

    def update(self, hashes: Iterable[int]) -> None:
        """Add categories by their hashes."""
        self._layers.update(hashes)

    def absorb(self, other: CategoryFilter, known: Iterable[int]) -> None:
        """Add the categories of another user's filter, of which some may be known by their hashes."""
        those = [value for value in known if value in other]
        if len(those) >= len(other):
            self.update(those)
        else:
            self._layers.union(other._layers)

    @property
    def bits(self) -> tuple[int, int]:
        """Number of bits, and how many of them are set."""
        return self._layers.bits

    @property
    def false_positive_rate(self) -> float:
        """Estimated share of untouched categories that the filter contains."""
        return self._layers.false_positive_rate

    def __contains__(self, value: int) -> bool:
        return value in self._layers

    def __len__(self) -> int:
        """Number of distinct categories added; false positives on insertion are not counted."""
        return len(self._layers)

    def contains(self, codes: NDArray[np.int32], hashes: ItemHashes) -> NDArray[np.bool_]:
        """Test a batch of categories.

        Args:
            codes: int32 [n], category codes.
            hashes: the hash of every category of the release, by code (``item_hashes`` of the vocabulary).

        Returns:
            bool [n].
        """
        return self._layers.contains(hashes.words(codes))

    def to_bytes(self) -> bytes:
        """Serialise the filter for Redis."""
        return _HEAD + self._layers.to_bytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> CategoryFilter:
        """Parse the output of :meth:`to_bytes`.

        Raises:
            ValueError: the bytes are truncated, too long or of another format version.
        """
        if not data.startswith(_HEAD):
            raise ValueError(f"a category filter of another format ({data[:3]!r}): run `winnow filters rebuild`")
        categories = cls()
        categories._layers, end = ScalableBloomFilter.read(data, len(_HEAD), FALSE_POSITIVE_RATE)
        if end != len(data):
            raise ValueError(f"a category filter has {len(data) - end} bytes too many")
        return categories


def pack(words: NDArray[np.uint64], counts: NDArray[np.int64]) -> list[bytes]:
    """Serialise the filters of many users; see :mod:`winnow.bloom.packing`.

    Args:
        words: uint64 [n, WORDS], of each user's distinct categories, user after user.
        counts: int64 [users], number of categories of each user.
    """
    return packing.pack(words, counts, INITIAL_CAPACITY, FALSE_POSITIVE_RATE, _HEAD)
