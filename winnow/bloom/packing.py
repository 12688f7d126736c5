"""Serialises the filters of many users at once, as publishing does: NumPy arrays instead of an object per user.

Each filter has one layer, large enough for the user's values; :meth:`winnow.bloom.scalable.ScalableBloomFilter.read`
reads it, and later values are added as to any other filter.
"""

import numpy as np
from numpy.typing import NDArray

from winnow.bloom.scalable import LAYER, LAYERS, layer_bytes

_STEP = 32
"""Larger capacities are multiples of this, so that the users of a batch have few different ones."""


def pack(words: NDArray[np.uint64], counts: NDArray[np.int64], initial: int, rate: float, head: bytes) -> list[bytes]:
    """Serialise one filter per user; of a user without values, empty bytes.

    Args:
        words: uint64 [n, WORDS], of each user's distinct values (:meth:`winnow.bloom.hashing.ItemHashes.words`), user
            after user.
        counts: int64 [users], number of values of each user.
        initial: smallest capacity; a filter has room for half as many values more than it gets, at least.
        rate: bound on the false-positive rate of all layers together.
        head: bytes before the filter.
    """
    needed = counts + counts // 2
    capacities = np.where(needed <= initial, initial, -(-needed // _STEP) * _STEP)
    owners = np.repeat(np.arange(len(counts)), counts)
    packed = [b""] * len(counts)
    for capacity in np.unique(capacities[counts > 0]).tolist():
        users = np.flatnonzero((capacities == capacity) & (counts > 0))
        of_these = np.flatnonzero(capacities[owners] == capacity)
        rows = np.repeat(np.arange(len(users)), counts[users])
        size = layer_bytes(capacity, rate / 2)
        bits = np.zeros((len(users), 8 * size), np.bool_)
        bits[rows[:, None], (words[of_these] % np.uint64(8 * size)).astype(np.int64)] = True
        layers = np.packbits(bits, axis=1, bitorder="little").tobytes()
        for row, (user, count) in enumerate(zip(users.tolist(), counts[users].tolist(), strict=True)):
            layer = layers[row * size : (row + 1) * size]
            packed[user] = b"".join((head, LAYERS.pack(1), LAYER.pack(capacity, count, size), layer))
    return packed
