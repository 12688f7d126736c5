"""The items that can be recommended: the release's, and new items that were added after it was built."""

from collections.abc import Iterable
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from winnow.bloom.hashing import item_hash, item_hashes
from winnow.release import Release
from winnow.signatures import NEW_ITEM_CAPACITY

T = TypeVar("T", bound=np.generic)


class NewItem(NamedTuple):
    """An item that was added after the release was built.

    Attributes:
        item_id: the item's id.
        slot: its number among the new items, the same in every process: 0, 1, … below
            :data:`winnow.signatures.NEW_ITEM_CAPACITY`.
        vector: float32 [D], the item vector, unit length.
        row: structured scalar of the schema's ``item_dtype``; its index is ``n + 1 + slot``.
        title: the title to display; "" if the item has none.
    """

    item_id: str
    slot: int
    vector: NDArray[np.float32]
    row: np.void
    title: str


class Catalog:
    """Item ids, hashes, vectors and rows by item index, with capacity for new items after the release's.

    The new item of slot ``s`` has the index ``n + 1 + s``. So the indices of the release's items stay valid, and no
    array is ever resized.

    Args:
        release: gives the items of the release.

    Attributes:
        size: ``n``, the number of items of the release.
        item_ids: id by index; "" for unused slots.
        hashes: hash in the seen filter by index.
        item_index: index by id.
        vectors: float32 [n + 1 + capacity, D], item vectors.
        rows: structured [n + 1 + capacity], item rows as of the release or of the item's addition.
        titles: titles of the new items by index.
    """

    def __init__(self, release: Release) -> None:
        item_ids: list[str] = release.array("item_ids").tolist()
        self.size = len(item_ids) - 1
        self.item_ids = item_ids + [""] * NEW_ITEM_CAPACITY
        self.hashes = item_hashes(item_ids) + [0] * NEW_ITEM_CAPACITY
        self.item_index = {item_id: index for index, item_id in enumerate(item_ids) if index}
        self.vectors = _with_capacity(release.array("item_vectors"))
        self.rows = _with_capacity(release.array("item_rows"))
        self.titles: dict[int, str] = {}
        self._newest_first: NDArray[np.int32] = np.empty(0, np.int32)

    @property
    def new_items(self) -> NDArray[np.int32]:
        """int32, indices of the new items, newest first."""
        return self._newest_first

    def is_of_release(self, item_id: str) -> bool:
        """Whether the item belongs to the release, rather than being new or absent."""
        return self.item_index.get(item_id, self.size + 1) <= self.size

    def indices(self, item_ids: Iterable[str]) -> NDArray[np.int32]:
        """int32, indices of the given items; ids that are not in the catalog are skipped."""
        index = self.item_index
        return np.array([index[item_id] for item_id in item_ids if item_id in index], np.int32)

    def put(self, item: NewItem) -> int:
        """Add or replace a new item; returns its index."""
        index = self.size + 1 + item.slot
        self.vectors[index] = item.vector
        self.rows[index] = item.row
        self.hashes[index] = item_hash(item.item_id)
        self.titles[index] = item.title
        self.item_ids[index] = item.item_id
        self.item_index[item.item_id] = index
        others = self._newest_first[self._newest_first != index]
        self._newest_first = np.concatenate([np.array([index], np.int32), others])
        return index


def merged(
    items: NDArray[np.int32], scores: NDArray[np.float32], more: NDArray[np.int32], more_scores: NDArray[np.float32]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Merge two lists that share no item into one of ``len(items)``, best first; ties keep the first list's item."""
    all_scores = np.concatenate([scores, more_scores])
    best = np.argsort(-all_scores, kind="stable")[: len(items)]
    return np.concatenate([items, more])[best], all_scores[best]


def _with_capacity(array: NDArray[T]) -> NDArray[T]:
    extended = np.zeros((len(array) + NEW_ITEM_CAPACITY, *array.shape[1:]), array.dtype)
    extended[: len(array)] = array
    return extended
