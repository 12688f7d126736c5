"""A scalable Bloom filter: a layer is added before the false-positive rate exceeds its bound.

A Bloom filter that holds more items than its capacity returns ever more false positives, and it cannot be enlarged
without the items, which are not stored. A scalable filter therefore keeps a full layer unchanged and adds a layer of
twice the capacity and half the false-positive rate (Almeida, Baquero, Preguiça, Hutchison: Scalable Bloom Filters,
2007). Every item stays in the filter, and the rates of all layers together stay below the requested rate.
"""

from __future__ import annotations

import math
import operator
import struct
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rbloom import Bloom

from winnow.bloom.hashing import WORDS

LAYER = struct.Struct("<III")
"""Header of a layer: capacity, item count, number of bytes of bits that follow."""

LAYERS = struct.Struct("<B")
"""Number of layers, before the first one."""

_MAX_LAYERS = 10
"""The last layer has 512 times the capacity of the first. When it is full, the false-positive rate grows instead of the
size, because every update writes the whole filter."""

_ALL_SET = np.uint64(0x0101010101010101)
_PROBES = WORDS.to_bytes(8, "little")
"""The header that rbloom writes before the bits: the number of probes."""


@dataclass
class _Layer:
    bloom: Bloom
    capacity: int
    count: int


class ScalableBloomFilter:
    """A set of 128-bit hashes with rare false positives and no false negatives.

    Args:
        expected: capacity of the first layer, in items.
        rate: upper bound on the false-positive rate of all layers together.
    """

    def __init__(self, expected: int, rate: float) -> None:
        self._rate = rate
        self._layers: list[_Layer] = []
        self._grow(expected)

    def update(self, hashes: Iterable[int]) -> None:
        """Add items by their hashes."""
        for value in hashes:
            if value in self:
                continue
            newest = self._layers[-1]
            if newest.count >= newest.capacity and self.depth < _MAX_LAYERS:
                newest = self._grow(2 * newest.capacity)
            newest.bloom.add(value)
            newest.count += 1

    def __contains__(self, value: int) -> bool:
        return any(value in layer.bloom for layer in self._layers)

    def __len__(self) -> int:
        """Number of distinct items added; false positives on insertion are not counted."""
        return sum(layer.count for layer in self._layers)

    @property
    def depth(self) -> int:
        """Number of layers; each layer after the first means that the one before it was full."""
        return len(self._layers)

    @property
    def fill(self) -> float:
        """Items in the newest layer divided by its capacity; above 1 only at the maximum number of layers."""
        return self._layers[-1].count / self._layers[-1].capacity

    @property
    def bits(self) -> tuple[int, int]:
        """Number of bits of all layers, and how many of them are set."""
        packed = [np.frombuffer(self._bits(layer), np.uint8) for layer in self._layers]
        return 8 * sum(map(len, packed)), sum(int(np.bitwise_count(part).sum()) for part in packed)

    @property
    def false_positive_rate(self) -> float:
        """Estimated share of absent items that the filter contains, from the bits that are set."""
        missed = 1.0
        for layer in self._layers:
            packed = np.frombuffer(self._bits(layer), np.uint8)
            missed *= 1.0 - (int(np.bitwise_count(packed).sum()) / (8 * len(packed))) ** WORDS
        return 1.0 - missed

    def union(self, other: ScalableBloomFilter) -> None:
        """Add all items of another filter, which does not tell them.

        A layer of equal parameters takes the other's bits, if both fit its capacity. Other layers are kept as they
        are, before this filter's own, so that the rates of both add up. Of too many layers the smallest are dropped.
        Doing it again changes nothing.
        """
        for theirs in other._layers:
            bits = self._bits(theirs)
            if any(self._bits(ours) == bits for ours in self._layers):
                continue
            for ours in self._layers:
                if (ours.capacity, len(self._bits(ours))) == (theirs.capacity, len(bits)):
                    joined = np.frombuffer(self._bits(ours), np.uint8) | np.frombuffer(bits, np.uint8)
                    count = _items_in(joined)
                    if count <= ours.capacity:
                        ours.bloom, ours.count = _bloom(joined.tobytes()), count
                        break
            else:
                self._layers.insert(0, _Layer(_bloom(bits), theirs.capacity, theirs.count))
        while len(self._layers) > _MAX_LAYERS:
            counts = [layer.count for layer in self._layers[:-1]]
            del self._layers[counts.index(min(counts))]

    def contains(self, words: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Test a batch of items.

        Args:
            words: uint64 [n, WORDS], from :meth:`~winnow.bloom.hashing.ItemHashes.words`.

        Returns:
            bool [n].
        """
        found = np.zeros(len(words), dtype=np.bool_)
        for layer in self._layers:
            found |= _probe(np.frombuffer(layer.bloom.save_bytes(), np.uint8, offset=len(_PROBES)), words)
        return found

    def to_bytes(self) -> bytes:
        """Serialise: the number of layers, then header and bits of each."""
        parts = [LAYERS.pack(len(self._layers))]
        for layer in self._layers:
            bits = layer.bloom.save_bytes()[len(_PROBES) :]
            parts += [LAYER.pack(layer.capacity, layer.count, len(bits)), bits]
        return b"".join(parts)

    @classmethod
    def read(cls, data: bytes, offset: int, rate: float) -> tuple[ScalableBloomFilter, int]:
        """Parse the output of :meth:`to_bytes` at ``offset``.

        Returns:
            The filter, and the offset of the first byte after it.

        Raises:
            ValueError: the bytes are truncated or have no valid number of layers.
        """
        layers: list[_Layer] = []
        try:
            (count,) = LAYERS.unpack_from(data, offset)
            offset += LAYERS.size
            for _ in range(count):
                capacity, held, size = LAYER.unpack_from(data, offset)
                offset += LAYER.size
                bits = data[offset : offset + size]
                offset += size
                if len(bits) != size or not size or not capacity:
                    raise ValueError("a filter is cut short")
                layers.append(_Layer(_bloom(bits), capacity, held))
        except struct.error:
            raise ValueError("a filter is cut short") from None
        if not 0 < len(layers) <= _MAX_LAYERS:
            raise ValueError(f"a filter has {len(layers)} layers")
        read = cls.__new__(cls)
        read._rate, read._layers = rate, layers
        return read, offset

    @staticmethod
    def _bits(layer: _Layer) -> bytes:
        return layer.bloom.save_bytes()[len(_PROBES) :]

    def _grow(self, capacity: int) -> _Layer:
        rate = self._rate / 2 ** (len(self._layers) + 1)
        self._layers.append(_Layer(_bloom(bytes(layer_bytes(capacity, rate))), capacity, 0))
        return self._layers[-1]


def layer_bytes(capacity: int, rate: float) -> int:
    """Size of a layer's bits, in bytes.

    Eight probes at every depth cost a few per cent more bits than the optimal number for the layer's rate, and let a
    batch be tested against all layers with the same precomputed words.
    """
    bits = -WORDS * capacity / math.log1p(-(rate ** (1 / WORDS)))
    return 8 * math.ceil(bits / 64)


def _bloom(bits: bytes) -> Bloom:
    return Bloom.load_bytes(_PROBES + bits, operator.index)


def _items_in(packed: NDArray[np.uint8]) -> int:
    """The number of items by which as many bits are set, most probably."""
    size, ones = 8 * len(packed), int(np.bitwise_count(packed).sum())
    return size if ones == size else round(-size / WORDS * math.log1p(-ones / size))


def _probe(packed: NDArray[np.uint8], words: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Whether all bits at a row's positions are set: bool [n].

    NumPy vectorises the division of an array by a scalar but not the remainder, so the remainder is computed from the
    quotient. With one bit per byte, a single comparison of eight bytes tests all eight probes.
    """
    bits = np.unpackbits(packed, bitorder="little")
    size = np.uint64(len(bits))
    hits = bits.take((words - words // size * size).view(np.int64))
    found: NDArray[np.bool_] = hits.view(np.uint64).ravel() == _ALL_SET
    return found
