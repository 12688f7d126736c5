"""A user's seen filter: one Bloom filter per time window, in one Redis string.

Items cannot be removed from a Bloom filter, so each window has a filter of its own, which is dropped as a whole. A seen
item is added to the window of its event's time. A window is dropped when the window after it has ended, so an item is
remembered for at least one window length and at most two. Each window stores its own end; a changed window length
applies to new windows only.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from winnow.bloom import packing
from winnow.bloom.hashing import HashWords, ItemHashes
from winnow.bloom.scalable import ScalableBloomFilter

FALSE_POSITIVE_RATE = 0.01
"""Upper bound on the share of unseen items that all windows and layers together report as seen."""

INITIAL_CAPACITY = 64
"""Capacity of the first layer of a window, 0.1 kB: most users see fewer items in three months."""

WINDOW_DAYS = 90
WINDOW_MS = WINDOW_DAYS * 86_400_000

_LIVE = 2
"""Number of windows kept: the current one and the one before it."""

_HEAD = struct.Struct("<2sBB")
"""Magic bytes, format version, number of windows."""

_MAGIC, _VERSION = b"WS", 1
_END = struct.Struct("<I")
"""End of a window, in seconds since the epoch."""


class SeenFilter:
    """The items a user has seen: rare false positives, and no false negatives within one window length."""

    def __init__(self) -> None:
        self._windows: dict[int, ScalableBloomFilter] = {}

    @classmethod
    def of(cls, hashes: Sequence[int], at_ms: int, window_ms: int = WINDOW_MS) -> SeenFilter:
        """Build a filter of ``hashes``, all seen at one time, with capacity for half as many more.

        Args:
            hashes: distinct item hashes.
            at_ms: when the items were seen, in milliseconds since the epoch.
            window_ms: window length, in milliseconds.
        """
        table = ItemHashes.of(hashes)
        words = table.words(np.arange(len(table), dtype=np.int32))
        [packed] = pack(words, np.array([len(table)]), window_end(at_ms, window_ms))
        return cls.from_bytes(packed) if packed else cls()

    def update(self, hashes: Iterable[int], at_ms: int, window_ms: int = WINDOW_MS) -> int:
        """Add items that were seen at ``at_ms``, and drop expired windows.

        A late event is added to the window of its own time, or ignored where that window has expired.

        Returns:
            The number of windows dropped.
        """
        end, length = window_end(at_ms, window_ms), window_ms // 1000
        horizon = max([end, *self._windows]) - _LIVE * length
        expired = [window for window in self._windows if window <= horizon]
        for window in expired:
            del self._windows[window]
        if end > horizon:
            if end not in self._windows:
                self._windows[end] = _new_window()
            self._windows[end].update(hashes)
        return len(expired)

    def absorb(self, other: SeenFilter, known: Sequence[int], is_complete: bool) -> None:
        """Add the items of another user's filter, window by window.

        Args:
            other: the filter.
            known: hashes of items that were seen.
            is_complete: whether ``known`` has all of the other's items, which are then added one by one. Without them
                the filters are united (:meth:`~winnow.bloom.scalable.ScalableBloomFilter.union`).
        """
        for end, window in other.windows.items():
            those = [value for value in known if value in window]
            if end not in self._windows:
                self._windows[end] = window
            elif is_complete and len(those) >= len(window):
                self._windows[end].update(those)
            else:
                self._windows[end].union(window)
        for end in sorted(self._windows)[:-_LIVE]:
            del self._windows[end]

    def __contains__(self, value: int) -> bool:
        return any(value in window for window in self._windows.values())

    def __len__(self) -> int:
        """Number of distinct items over all windows; an item seen in two windows counts twice."""
        return sum(map(len, self._windows.values()))

    @property
    def windows(self) -> dict[int, ScalableBloomFilter]:
        """The filter of each window, by the window's end in seconds since the epoch."""
        return self._windows

    def contains(self, items: NDArray[np.int32], hashes: HashWords) -> NDArray[np.bool_]:
        """Test a batch of candidates.

        Args:
            items: int32 [n], item indices.
            hashes: the hash of every item of the catalog, by index.

        Returns:
            bool [n].
        """
        words = hashes.words(items)
        seen = np.zeros(len(items), dtype=np.bool_)
        for window in self._windows.values():
            seen |= window.contains(words)
        return seen

    def to_bytes(self) -> bytes:
        """Serialise the filter for Redis."""
        parts = [_HEAD.pack(_MAGIC, _VERSION, len(self._windows))]
        for end, window in sorted(self._windows.items()):
            parts += [_END.pack(end), window.to_bytes()]
        return b"".join(parts)

    @classmethod
    def from_bytes(cls, data: bytes) -> SeenFilter:
        """Parse the output of :meth:`to_bytes`.

        Raises:
            ValueError: the bytes are truncated, too long or of another format version.
        """
        seen = cls()
        try:
            magic, version, windows = _HEAD.unpack_from(data)
            if (magic, version) != (_MAGIC, _VERSION):
                raise ValueError(f"a seen filter of another format ({data[:3]!r}): run `winnow filters rebuild`")
            offset = _HEAD.size
            for _ in range(windows):
                (end,) = _END.unpack_from(data, offset)
                seen._windows[end], offset = ScalableBloomFilter.read(
                    data, offset + _END.size, FALSE_POSITIVE_RATE / _LIVE
                )
        except struct.error:
            raise ValueError("a seen filter is cut short") from None
        if offset != len(data):
            raise ValueError(f"a seen filter has {len(data) - offset} bytes too many")
        return seen


def pack(words: NDArray[np.uint64], counts: NDArray[np.int64], end_s: int) -> list[bytes]:
    """Serialise the filters of many users whose items were all seen in one window (:mod:`winnow.bloom.packing`).

    Args:
        words: uint64 [n, WORDS], of each user's distinct items, user after user.
        counts: int64 [users], number of items of each user.
        end_s: end of the window, from :func:`window_end`.
    """
    head = _HEAD.pack(_MAGIC, _VERSION, 1) + _END.pack(end_s)
    return packing.pack(words, counts, INITIAL_CAPACITY, FALSE_POSITIVE_RATE / _LIVE, head)


def window_end(at_ms: int, window_ms: int) -> int:
    """End of the window that contains ``at_ms``, in seconds since the epoch; equal for every user and process."""
    return (at_ms // window_ms + 1) * window_ms // 1000


def _new_window() -> ScalableBloomFilter:
    return ScalableBloomFilter(INITIAL_CAPACITY, FALSE_POSITIVE_RATE / _LIVE)
