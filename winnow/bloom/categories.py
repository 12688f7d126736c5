"""A user's category filter: which categories the user ever touched, in one Redis string.

Unlike the seen filter it has no windows: that a category was once of interest does not stop being true.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from winnow.bloom.hashing import ItemHashes
from winnow.bloom.scalable import Layers

FALSE_POSITIVE_RATE = 0.01
"""Share of untouched categories that the filter may take for touched ones."""

SMALLEST = 16
"""Capacity of the first layer: 24 bytes; most people keep to a handful of categories."""

_HEAD = b"WC\x01"
"""Magic and version."""


class CategoryFilter:
    """The set of categories a user has touched, by :func:`~winnow.bloom.hashing.item_hash` of their names."""

    def __init__(self) -> None:
        self._layers = Layers(SMALLEST, FALSE_POSITIVE_RATE)

    def update(self, hashes: Iterable[int]) -> None:
        """Add categories."""
        self._layers.update(hashes)

    def __contains__(self, value: int) -> bool:
        return value in self._layers

    def __len__(self) -> int:
        """Categories that were told apart when they were added."""
        return len(self._layers)

    def contains(self, codes: NDArray[np.int32], hashes: ItemHashes) -> NDArray[np.bool_]:
        """Membership of a batch of categories: bool [n].

        Args:
            codes: int32 [n], category codes.
            hashes: the hash of every category of the release, by code (``item_hashes`` of the vocabulary).
        """
        return self._layers.contains(hashes.words(codes))

    def to_bytes(self) -> bytes:
        """The filter as it is kept in Redis."""
        return _HEAD + self._layers.to_bytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> CategoryFilter:
        """Read what :meth:`to_bytes` wrote.

        Raises:
            ValueError: the bytes are not a whole filter of this version.
        """
        if not data.startswith(_HEAD):
            raise ValueError(
                f"a category filter of another format ({data[:3]!r}): `winnow filters rebuild` writes it anew"
            )
        categories = cls()
        categories._layers, end = Layers.read(data, len(_HEAD), FALSE_POSITIVE_RATE)
        if end != len(data):
            raise ValueError(f"a category filter has {len(data) - end} bytes too many")
        return categories
