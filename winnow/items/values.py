"""One number per item, of the release's items and of those that are added while it is served."""

from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)

Items = NDArray[np.integer[Any]] | None
"""Indices of items, [k]; ``None`` for all items of the release in the order of their indices, padding first."""


class Values(Generic[T]):
    """Numbers by item index; those of the release are mapped copy-on-write, so a change costs this process a page.

    Args:
        release: [n + 1], writable; the first is that of the padding item.
        null: what items without a value have.
    """

    def __init__(self, release: NDArray[T], null: T) -> None:
        # A view without the overhead of np.memmap in every operation.
        self._release: NDArray[T] = np.asarray(release)
        self._added: NDArray[T] = self._release[:0].copy()
        self.null = null

    def at(self, items: Items) -> NDArray[T]:
        """The numbers of items: [k], or [n + 1] without a copy for ``None``; null for items that were never put."""
        if items is None:
            return self._release
        count, added = len(self._release), self._added
        release = items < count
        if release.all():
            return self._release.take(items)
        found: NDArray[T] = np.full(len(items), self.null, self._release.dtype)
        found[release] = self._release.take(items[release])
        there = ~release & (items < count + len(added))
        found[there] = added.take(items[there] - count)
        return found

    def put(self, index: int, value: Any) -> None:
        """Change the number of an item."""
        place = index - len(self._release)
        if place < 0:
            self._release[index] = value
            return
        if place >= len(self._added):
            larger: NDArray[T] = np.full(max(place + 1, 2 * len(self._added)), self.null, self._release.dtype)
            larger[: len(self._added)] = self._added
            self._added = larger
        self._added[place] = value
