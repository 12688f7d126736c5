"""The items that can be recommended: those of the release, and those that came after it was made."""

from collections.abc import Iterable
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from winnow.bloom.hashing import item_hash, item_hashes
from winnow.release import Release
from winnow.signatures import NEW_ITEM_CAPACITY

T = TypeVar("T", bound=np.generic)


class FreshItem(NamedTuple):
    """An item that the release was made without.

    Attributes:
        item_id: its id.
        slot: its place among the new items, the same in every process: 0, 1, … below
            :data:`winnow.signatures.NEW_ITEM_CAPACITY`.
        vector: float32 [D], its item vector, unit length.
        row: structured scalar of the schema's ``item_dtype``; its index is ``n + 1 + slot``.
        title: what people call it; "" where it has no title.
    """

    item_id: str
    slot: int
    vector: NDArray[np.float32]
    row: np.void
    title: str


class Catalog:
    """Everything that is looked up by item index, with room for fresh items after the release's.

    Fresh item ``s`` has the index ``n + 1 + s``, so whoever indexes the release's arrays indexes these unchanged, and
    never sees one grow.

    Args:
        release: whose items come first.

    Attributes:
        size: ``n``, the items of the release.
        item_ids: id by index; "" where there is no item yet.
        hashes: the seen filter's hash by index.
        item_index: index by id.
        vectors: float32 [n + 1 + capacity, D], item vectors.
        rows: structured [n + 1 + capacity], item rows as of the release or of the item's arrival.
        titles: titles of the fresh items by index.
    """

    def __init__(self, release: Release) -> None:
        known: list[str] = release.array("item_ids").tolist()
        self.size = len(known) - 1
        self.item_ids = known + [""] * NEW_ITEM_CAPACITY
        self.hashes = item_hashes(known) + [0] * NEW_ITEM_CAPACITY
        self.item_index = {item_id: index for index, item_id in enumerate(known) if index}
        self.vectors = _with_room(release.array("item_vectors"))
        self.rows = _with_room(release.array("item_rows"))
        self.titles: dict[int, str] = {}
        self._newest_first: NDArray[np.int32] = np.empty(0, np.int32)

    @property
    def fresh(self) -> NDArray[np.int32]:
        """Indices of the fresh items, the newest first."""
        return self._newest_first

    def is_of_release(self, item_id: str) -> bool:
        """Whether the release itself has the item."""
        return self.item_index.get(item_id, self.size + 1) <= self.size

    def known(self, item_ids: Iterable[str]) -> NDArray[np.int32]:
        """Indices of those of the items that are in the catalog."""
        index = self.item_index
        return np.array([index[item_id] for item_id in item_ids if item_id in index], np.int32)

    def put(self, item: FreshItem) -> int:
        """Add a fresh item, or replace it; returns its index."""
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
    items: NDArray[np.int32], scores: NDArray[np.float32], more: NDArray[np.int32], their_scores: NDArray[np.float32]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The best ``len(items)`` of two lists without a common item, best first (ties: the first list's)."""
    every = np.concatenate([scores, their_scores])
    best = np.argsort(-every, kind="stable")[: len(items)]
    return np.concatenate([items, more])[best], every[best]


def _with_room(array: NDArray[T]) -> NDArray[T]:
    roomy = np.zeros((len(array) + NEW_ITEM_CAPACITY, *array.shape[1:]), array.dtype)
    roomy[: len(array)] = array
    return roomy
