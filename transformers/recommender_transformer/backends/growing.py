"""An array of a release, memory-mapped, and rows that are added behind it while it is served."""

from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)


class GrowingArray(Generic[T]):
    """Rows by index: those of the release first, then the added ones.

    The release's rows are never copied, so all processes of a machine share their memory. The added ones are in an
    array of their own, which doubles when it is full.

    Args:
        release: [n + 1, ...], the rows of the release.
    """

    def __init__(self, release: NDArray[T]) -> None:
        # A view without the overhead of np.memmap in every operation.
        self._release: NDArray[T] = np.asarray(release)
        self._added: NDArray[T] = self._release[:0].copy()
        self._count = 0

    @property
    def dtype(self) -> "np.dtype[T]":
        """The dtype of a row's elements."""
        return self._release.dtype

    @property
    def release(self) -> NDArray[T]:
        """The rows of the release."""
        return self._release

    @property
    def added(self) -> NDArray[T]:
        """The added rows, by slot; zeros in slots before the last that have none."""
        return self._added[: self._count]

    def __len__(self) -> int:
        return len(self._release) + self._count

    def take(self, items: NDArray[np.integer[Any]]) -> NDArray[T]:
        """Copies of the rows at ``items``, integers [k]; zeros for an index that no row was added at.

        Another process may name an added row, in the trending list for example, before this one has it.
        """
        release = items < len(self._release)
        if release.all():
            return self._release.take(items, axis=0)
        rows = np.zeros((len(items), *self._release.shape[1:]), self.dtype)
        rows[release] = self._release.take(items[release], axis=0)
        added = ~release & (items < len(self))
        rows[added] = self.added.take(items[added] - len(self._release), axis=0)
        return rows

    def put(self, slots: NDArray[np.integer[Any]], rows: NDArray[T]) -> None:
        """Write added rows; the index of each is the number of the release's rows plus its slot.

        Args:
            slots: integers [k], at least one.
            rows: [k, ...]; of several rows for one slot the last counts.
        """
        count = int(slots.max()) + 1
        if count > len(self._added):
            larger = np.zeros((max(count, 2 * len(self._added)), *self._release.shape[1:]), self.dtype)
            larger[: len(self._added)] = self._added
            self._added = larger
        self._added[slots] = rows
        self._count = max(self._count, count)
