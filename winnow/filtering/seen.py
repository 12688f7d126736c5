"""A user's seen filter: a scalable Bloom filter that fits in a Redis string.

A Bloom filter that is filled beyond what it was made for does not fail, it lies more and more. Rebuilding a larger one
needs every item that went in, which nobody keeps. So a full filter is left as it is and a layer of twice the capacity
and half the error is put beside it (Almeida, Baquero, Preguiça, Hutchison: Scalable Bloom Filters, 2007): no item is
ever lost, and the errors of all layers together stay below the rate that was asked for.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rbloom import Bloom

FALSE_POSITIVE_RATE = 0.01
"""Share of unseen items that the filter, all layers together, may hold back."""

SMALLEST = 128
"""Capacity of the first layer: 0.2 kB."""

_LAYER = struct.Struct("<III")
"""A layer's head: its capacity, how many items it holds, bytes of the filter that follow."""


@dataclass
class _Layer:
    bloom: Bloom
    capacity: int
    count: int


class SeenFilter:
    """The set of items a user has met; may say yes wrongly (rarely), never no wrongly.

    Args:
        expected: how many items the first layer is made for.
    """

    def __init__(self, expected: int = SMALLEST) -> None:
        self._layers = [_new_layer(max(expected, SMALLEST), 0)]

    @classmethod
    def of(cls, hashes: Sequence[int]) -> SeenFilter:
        """A filter that holds ``hashes``, with room for as many again."""
        seen = cls(2 * len(hashes))
        seen.update(hashes)
        return seen

    def update(self, hashes: Iterable[int]) -> None:
        """Add items by their 128-bit hashes."""
        for value in hashes:
            if value in self:
                continue
            newest = self._layers[-1]
            if newest.count >= newest.capacity:
                newest = _new_layer(2 * newest.capacity, len(self._layers))
                self._layers.append(newest)
            newest.bloom.add(value)
            newest.count += 1

    def __contains__(self, value: int) -> bool:
        return any(value in layer.bloom for layer in self._layers)

    def __len__(self) -> int:
        """Items that were told apart when they were added."""
        return sum(layer.count for layer in self._layers)

    def contains(self, items: NDArray[np.int32], hashes: Sequence[int]) -> NDArray[np.bool_]:
        """Membership of a batch of candidates.

        Args:
            items: int32 [n], item indices.
            hashes: the hash of every item of the catalog, by index.

        Returns:
            bool [n].
        """
        wanted = list(map(hashes.__getitem__, items.tolist()))
        met = np.zeros(len(wanted), dtype=np.bool_)
        for layer in self._layers:
            bloom = layer.bloom
            met |= np.array([value in bloom for value in wanted], dtype=np.bool_)
        return met

    def to_bytes(self) -> bytes:
        """The filter as it is kept in Redis."""
        parts = []
        for layer in self._layers:
            body = layer.bloom.save_bytes()
            parts += [_LAYER.pack(layer.capacity, layer.count, len(body)), body]
        return b"".join(parts)

    @classmethod
    def from_bytes(cls, data: bytes) -> SeenFilter:
        """Read what :meth:`to_bytes` wrote.

        Raises:
            ValueError: the bytes are not a whole filter.
        """
        layers = []
        offset = 0
        while offset < len(data):
            if len(data) - offset < _LAYER.size:
                raise ValueError("a seen filter is cut short")
            capacity, count, size = _LAYER.unpack_from(data, offset)
            body = data[offset + _LAYER.size : offset + _LAYER.size + size]
            if len(body) != size:
                raise ValueError("a seen filter is cut short")
            layers.append(_Layer(Bloom.load_bytes(body, operator.index), capacity, count))
            offset += _LAYER.size + size
        if not layers:
            raise ValueError("a seen filter is empty")
        seen = cls.__new__(cls)
        seen._layers = layers
        return seen


def _new_layer(capacity: int, depth: int) -> _Layer:
    return _Layer(Bloom(capacity, FALSE_POSITIVE_RATE / 2 ** (depth + 1), operator.index), capacity, 0)
