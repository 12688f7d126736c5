"""A user's seen filter: Bloom filters by time window, in one Redis string.

Nothing can be taken out of a Bloom filter, so what it is to forget must lie in one that can be dropped whole. Items are
added to the window of the moment in which they were met; a window is dropped when the one after it has passed too. What
was met is therefore remembered for at least one window's length and at most two. Each window carries its own end, so a
changed length only changes what comes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from winnow.bloom.hashing import ItemHashes
from winnow.bloom.scalable import Layers

FALSE_POSITIVE_RATE = 0.01
"""Share of unseen items that the filter, all windows and layers together, may hold back."""

SMALLEST = 128
"""Capacity of a window's first layer: 0.2 kB."""

WINDOW_DAYS = 90
WINDOW_MS = WINDOW_DAYS * 86_400_000

_LIVE = 2
"""Windows that count: the current one and the one before."""

_HEAD = struct.Struct("<2sBB")
"""Magic, version, number of windows."""

_MAGIC, _VERSION = b"WS", 1
_END = struct.Struct("<I")
"""A window's end, seconds since the epoch."""


class SeenFilter:
    """The set of items a user has met; may say yes wrongly (rarely), never no wrongly within a window's length."""

    def __init__(self) -> None:
        self._windows: dict[int, Layers] = {}

    @classmethod
    def of(cls, hashes: Sequence[int], at_ms: int, window_ms: int = WINDOW_MS) -> SeenFilter:
        """A filter that holds ``hashes``, all met at one moment, with room for half as many more.

        Args:
            hashes: distinct item hashes.
            at_ms: the moment, milliseconds since the epoch.
            window_ms: length of a window.
        """
        seen = cls()
        seen._windows[window_end(at_ms, window_ms)] = _layers(len(hashes) + len(hashes) // 2)
        seen.update(hashes, at_ms, window_ms)
        return seen

    def update(self, hashes: Iterable[int], at_ms: int, window_ms: int = WINDOW_MS) -> int:
        """Add items that were met at ``at_ms``; returns how many windows were dropped because their time is over.

        What comes late is put into the window it belongs to, or nowhere when that is over.
        """
        end, length = window_end(at_ms, window_ms), window_ms // 1000
        horizon = max([end, *self._windows]) - _LIVE * length
        over = [window for window in self._windows if window <= horizon]
        for window in over:
            del self._windows[window]
        if end > horizon:
            if end not in self._windows:
                self._windows[end] = _layers(0)
            self._windows[end].update(hashes)
        return len(over)

    def __contains__(self, value: int) -> bool:
        return any(value in layers for layers in self._windows.values())

    def __len__(self) -> int:
        """Items that were told apart when they were added; one met in two windows counts twice."""
        return sum(map(len, self._windows.values()))

    @property
    def windows(self) -> dict[int, Layers]:
        """End in seconds since the epoch -> what was met in that window."""
        return self._windows

    def contains(self, items: NDArray[np.int32], hashes: ItemHashes) -> NDArray[np.bool_]:
        """Membership of a batch of candidates.

        Args:
            items: int32 [n], item indices.
            hashes: the hash of every item of the catalog, by index.

        Returns:
            bool [n].
        """
        words = hashes.words(items)
        met = np.zeros(len(items), dtype=np.bool_)
        for layers in self._windows.values():
            met |= layers.contains(words)
        return met

    def to_bytes(self) -> bytes:
        """The filter as it is kept in Redis."""
        parts = [_HEAD.pack(_MAGIC, _VERSION, len(self._windows))]
        for end, layers in sorted(self._windows.items()):
            parts += [_END.pack(end), layers.to_bytes()]
        return b"".join(parts)

    @classmethod
    def from_bytes(cls, data: bytes) -> SeenFilter:
        """Read what :meth:`to_bytes` wrote.

        Raises:
            ValueError: the bytes are not a whole filter of this version.
        """
        seen = cls()
        try:
            magic, version, windows = _HEAD.unpack_from(data)
            if (magic, version) != (_MAGIC, _VERSION):
                raise ValueError(
                    f"a seen filter of another format ({data[:3]!r}): `winnow filters rebuild` writes it anew"
                )
            offset = _HEAD.size
            for _ in range(windows):
                (end,) = _END.unpack_from(data, offset)
                seen._windows[end], offset = Layers.read(data, offset + _END.size, FALSE_POSITIVE_RATE / _LIVE)
        except struct.error:
            raise ValueError("a seen filter is cut short") from None
        if offset != len(data):
            raise ValueError(f"a seen filter has {len(data) - offset} bytes too many")
        return seen


def window_end(at_ms: int, window_ms: int) -> int:
    """End of the window of a moment, in seconds since the epoch; the same for every user and process."""
    return (at_ms // window_ms + 1) * window_ms // 1000


def _layers(expected: int) -> Layers:
    return Layers(max(expected, SMALLEST), FALSE_POSITIVE_RATE / _LIVE)
