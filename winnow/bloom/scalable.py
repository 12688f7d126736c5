"""A scalable Bloom filter: layers that grow instead of lying.

A Bloom filter that is filled beyond what it was made for does not fail, it lies more and more. Rebuilding a larger one
needs every item that went in, which nobody keeps. So a full filter is left as it is and a layer of twice the capacity
and half the error is put beside it (Almeida, Baquero, Preguiça, Hutchison: Scalable Bloom Filters, 2007): no item is
ever lost, and the errors of all layers together stay below the rate that was asked for.
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

_LAYER = struct.Struct("<III")
"""A layer's head: its capacity, how many items it holds, bytes of bits that follow."""

_COUNT = struct.Struct("<B")
_MOST_LAYERS = 10
"""The last has 512 times the room of the first; whoever fills that too (no person does) gets more wrong answers instead
of a filter that takes ever longer to write."""

_ALL_SET = np.uint64(0x0101010101010101)
_PROBES = WORDS.to_bytes(8, "little")
"""What rbloom puts before the bits when it saves a filter."""


@dataclass
class _Layer:
    bloom: Bloom
    capacity: int
    count: int


class Layers:
    """A set of 128-bit hashes; may say yes wrongly (rarely), never no wrongly.

    Args:
        expected: how many items the first layer is made for.
        rate: share of other items that all layers together may take for theirs.
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
            if newest.count >= newest.capacity and self.depth < _MOST_LAYERS:
                newest = self._grow(2 * newest.capacity)
            newest.bloom.add(value)
            newest.count += 1

    def __contains__(self, value: int) -> bool:
        return any(value in layer.bloom for layer in self._layers)

    def __len__(self) -> int:
        """Items that were told apart when they were added."""
        return sum(layer.count for layer in self._layers)

    @property
    def depth(self) -> int:
        """How many layers there are; each beyond the first stands for a filter that was saturated."""
        return len(self._layers)

    @property
    def fill(self) -> float:
        """Items of the newest layer by its capacity; above 1 only where no layer may follow."""
        return self._layers[-1].count / self._layers[-1].capacity

    def contains(self, words: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Membership of a batch: bool [n].

        Args:
            words: uint64 [n, WORDS], of :meth:`~winnow.bloom.hashing.ItemHashes.words`.
        """
        met = np.zeros(len(words), dtype=np.bool_)
        for layer in self._layers:
            met |= _probe(np.frombuffer(layer.bloom.save_bytes(), np.uint8, offset=len(_PROBES)), words)
        return met

    def to_bytes(self) -> bytes:
        """The number of layers, then each: head and bits."""
        parts = [_COUNT.pack(len(self._layers))]
        for layer in self._layers:
            bits = layer.bloom.save_bytes()[len(_PROBES) :]
            parts += [_LAYER.pack(layer.capacity, layer.count, len(bits)), bits]
        return b"".join(parts)

    @classmethod
    def read(cls, data: bytes, offset: int, rate: float) -> tuple[Layers, int]:
        """Read what :meth:`to_bytes` wrote at ``offset``; returns the layers and where they end.

        Raises:
            ValueError: the bytes are not whole layers.
        """
        layers: list[_Layer] = []
        try:
            (count,) = _COUNT.unpack_from(data, offset)
            offset += _COUNT.size
            for _ in range(count):
                capacity, held, size = _LAYER.unpack_from(data, offset)
                offset += _LAYER.size
                bits = data[offset : offset + size]
                offset += size
                if len(bits) != size or not size or not capacity:
                    raise ValueError("a filter is cut short")
                layers.append(_Layer(_bloom(bits), capacity, held))
        except struct.error:
            raise ValueError("a filter is cut short") from None
        if not 0 < len(layers) <= _MOST_LAYERS:
            raise ValueError(f"a filter has {len(layers)} layers")
        read = cls.__new__(cls)
        read._rate, read._layers = rate, layers
        return read, offset

    def _grow(self, capacity: int) -> _Layer:
        rate = self._rate / 2 ** (len(self._layers) + 1)
        # Half of the bits are set at the rate that is asked for when probes are many; eight come close enough at every
        # depth (some per cent more bits than the fewest) and let a batch be looked up without a case distinction.
        bits = -WORDS * capacity / math.log1p(-(rate ** (1 / WORDS)))
        self._layers.append(_Layer(_bloom(bytes(8 * math.ceil(bits / 64))), capacity, 0))
        return self._layers[-1]


def _bloom(bits: bytes) -> Bloom:
    return Bloom.load_bytes(_PROBES + bits, operator.index)


def _probe(packed: NDArray[np.uint8], words: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Whether all bits that a row's words point at are set.

    Division of an array by one number is vectorised in numpy and the remainder is not, hence the detour. A bit a byte
    lets one comparison of eight bytes stand for eight probes.
    """
    bits = np.unpackbits(packed, bitorder="little")
    size = np.uint64(len(bits))
    hits = bits.take((words - words // size * size).view(np.int64))
    found: NDArray[np.bool_] = hits.view(np.uint64).ravel() == _ALL_SET
    return found
