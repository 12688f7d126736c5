"""The items of a release whose vector or availability has changed since it was built."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from winnow.arrays.membership import are_among

T = TypeVar("T", bound=np.generic)


class ChangedItems:
    """Changed items in arrays that double when they are full: a scan costs one product per item.

    The release's indices still search the former vectors of these items, so their results are corrected with this.

    Args:
        dimension: ``D``, the width of an item vector.
    """

    def __init__(self, dimension: int) -> None:
        self._places: dict[int, int] = {}
        self._items = np.zeros(0, np.int32)
        self._vectors = np.zeros((0, dimension), np.float32)
        self._present = np.zeros(0, np.bool_)
        self._moved = np.zeros(0, np.bool_)
        # Sorted on use: changes may arrive faster than requests.
        self._sorted: tuple[NDArray[np.int32], NDArray[np.int32]] | None = None

    def __len__(self) -> int:
        return len(self._places)

    @property
    def items(self) -> NDArray[np.int32]:
        """int32 [m], the changed items."""
        return self._items[: len(self)]

    @property
    def vectors(self) -> NDArray[np.float32]:
        """float32 [m, D], their vectors now."""
        return self._vectors[: len(self)]

    @property
    def present(self) -> NDArray[np.bool_]:
        """Bool [m], whether the item may be found: not deleted."""
        return self._present[: len(self)]

    @property
    def moved(self) -> NDArray[np.bool_]:
        """Bool [m], whether its vector differs from the release's, or it is deleted."""
        return self._moved[: len(self)]

    def contains(self, items: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Whether each item has changed: bool [n]."""
        return are_among(items, self._in_order()[0])

    def has_moved(self, items: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Whether each item's vector has changed, or it is deleted: bool [n]."""
        return are_among(items, self._in_order()[1])

    def put(
        self,
        items: NDArray[np.int32],
        vectors: NDArray[np.float32],
        present: NDArray[np.bool_],
        moved: NDArray[np.bool_],
    ) -> None:
        """Add or replace changed items; of several changes of one item the last counts."""
        for item in items.tolist():
            self._places.setdefault(item, len(self._places))
        if len(self) > len(self._items):
            size = max(len(self), 2 * len(self._items))
            self._items = _grown(self._items, size)
            self._vectors = _grown(self._vectors, size)
            self._present, self._moved = _grown(self._present, size), _grown(self._moved, size)
        places = np.array([self._places[item] for item in items.tolist()], np.int64)
        self._items[places], self._vectors[places] = items, vectors
        self._present[places], self._moved[places] = present, moved
        self._sorted = None

    def _in_order(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The changed items and the moved ones among them, ascending."""
        if self._sorted is None:
            self._sorted = np.sort(self.items), np.sort(self.items[self.moved])
        return self._sorted


def _grown(array: NDArray[T], size: int) -> NDArray[T]:
    grown: NDArray[T] = np.zeros((size, *array.shape[1:]), array.dtype)
    grown[: len(array)] = array
    return grown
