"""The items that can be recommended: the release's, and new items that were added after it was built."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.growing import GrowingArray
from winnow.bloom.hashing import item_hashes
from winnow.items.columns import ITEM_ID, ItemColumns
from winnow.items.index import ItemIndex
from winnow.release import Release

_RECENT = 20_000
"""Ids of the release whose index is remembered: few are asked for most of the time, and each search costs a hash."""


class NewItem(NamedTuple):
    """An item that was added after the release was built.

    Attributes:
        item_id: the item's id.
        slot: its number among the new items, the same in every process: 0, 1, … below
            :data:`winnow.signatures.NEW_ITEM_CAPACITY`.
        vector: float32 [D], the item vector, unit length.
        row: structured scalar of the schema's ``item_dtype``; its index is ``n + 1 + slot``.
        title: the title to display; "" if the item has none.
        document: its values in the catalog's columns; see :meth:`winnow.items.columns.ItemColumns.document`.
    """

    item_id: str
    slot: int
    vector: NDArray[np.float32]
    row: np.void
    title: str
    document: Mapping[str, Any] = MappingProxyType({})


class Catalog:
    """The items by index: those of the release, read from its memory-mapped arrays, and new items behind them.

    The new item of slot ``s`` has the index ``n + 1 + s``. No memory and no time at the start is in proportion to the
    items of the release, and the pages that are read are shared by all processes of a machine.

    Args:
        release: gives the items of the release.

    Attributes:
        size: ``n``, the number of items of the release.
        vectors: float32 [n + 1 + new items, D], item vectors.
        rows: structured [n + 1 + new items], item rows as of the release or of the item's addition.
        titles: titles of the new items by index.
        columns: the values of the catalog's columns, of new items as well.
        changes: number of calls that added or replaced new items.
    """

    def __init__(self, release: Release) -> None:
        self.size = release.items
        self._ids = release.strings("item_ids")
        self._index = ItemIndex.of(release)
        self._recent: dict[bytes, int] = {}
        self.vectors: GrowingArray[np.float32] = GrowingArray(release.array("item_vectors"))
        self.rows: GrowingArray[np.void] = GrowingArray(release.array("item_rows"))
        self._words: GrowingArray[np.uint64] = GrowingArray(release.array("item_hash_words"))
        self._slots: GrowingArray[np.bool_] = GrowingArray(np.zeros(0, np.bool_))
        self.titles: dict[int, str] = {}
        self.columns = ItemColumns.of(release)
        self.changes = 0
        self._new_ids: dict[int, str] = {}
        # By the time of addition or replacement, the latest last.
        self._new_index: dict[bytes, int] = {}

    @property
    def dimension(self) -> int:
        """``D``, the width of an item vector."""
        return len(self.vectors.take(np.zeros(1, np.int32))[0])

    def item_id(self, index: int) -> str:
        """The id of an item; "" for the padding item, and for a new item that this process does not have yet."""
        return self._ids[index] if index <= self.size else self._new_ids.get(index, "")

    def item_ids(self, items: NDArray[np.int32]) -> list[str]:
        """The ids of many items; see :meth:`item_id`."""
        if (items <= self.size).all():
            return self._ids.at(items)
        return [self.item_id(item) for item in items.tolist()]

    def words(self, items: NDArray[np.int32] | NDArray[np.int64]) -> NDArray[np.uint64]:
        """What seen filters are asked with; see :class:`winnow.bloom.hashing.HashWords`."""
        return self._words.take(items)

    def find(self, item_ids: Sequence[bytes]) -> NDArray[np.int32]:
        """The index of each of some ids in UTF-8: int32 [k], 0 for ids that are not in the catalog."""
        places = list(map(self._recent.get, item_ids))
        if None in places:
            items = self._index.find(item_ids)
            if len(self._recent) > _RECENT:
                self._recent.clear()
            self._recent |= {each: item for each, item in zip(item_ids, items.tolist(), strict=True) if item}
        else:
            items = np.array(places, np.int32)
        if self._new_index:
            for position in np.flatnonzero(items == 0).tolist():
                items[position] = self._new_index.get(item_ids[position], 0)
        return items

    def indices(self, item_ids: Iterable[str]) -> NDArray[np.int32]:
        """int32, indices of the given items; ids that are not in the catalog are skipped."""
        items = self.find([item_id.encode() for item_id in item_ids])
        return items[items > 0]

    def __contains__(self, item_id: str) -> bool:
        return len(self.indices([item_id])) > 0

    def is_of_release(self, item_id: str) -> bool:
        """Whether the item belongs to the release, rather than being new or absent."""
        return bool(self._index.find([item_id.encode()])[0])

    @property
    def new_items(self) -> int:
        """Number of new items."""
        return len(self._new_index)

    def newest(self, count: int) -> NDArray[np.int32]:
        """int32 [<= count], the latest of the new items, newest first."""
        return np.fromiter(islice(reversed(self._new_index.values()), count), np.int32)

    def nearest_new(
        self, vector: NDArray[np.float32], count: int, among: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The new items with the highest product of a vector and theirs, by a scan of all of them.

        Args:
            vector: float32 [D].
            count: how many items at most.
            among: bool, which slots count; by default all.

        Returns:
            items int32 [<= count] and products float32, best first; ties: the higher slot first.
        """
        counts = self._slots.added if among is None else self._slots.added & among
        products = np.where(counts, self.vectors.added @ vector, -np.inf).astype(np.float32, copy=False)
        count = min(count, int(np.count_nonzero(counts)))
        if not count:
            return np.empty(0, np.int32), np.empty(0, np.float32)
        least = np.partition(products, len(products) - count)[len(products) - count]
        slots = np.flatnonzero(products >= least)[::-1]
        best = slots[np.argsort(-products[slots], kind="stable")[:count]]
        return (best + self.size + 1).astype(np.int32), products[best]

    def put(self, items: Sequence[NewItem]) -> NDArray[np.int32]:
        """Add or replace new items, at least one; returns the index of each: int32 [k]."""
        slots = np.array([item.slot for item in items], np.int32)
        self.vectors.put(slots, np.stack([item.vector for item in items]))
        self.rows.put(slots, np.array([item.row for item in items], self.rows.dtype))
        self._words.put(slots, item_hashes(item.item_id for item in items).table)
        self._slots.put(slots, np.ones(len(slots), np.bool_))
        indices = slots + np.int32(self.size + 1)
        for index, item in zip(indices.tolist(), items, strict=True):
            encoded = item.item_id.encode()
            self.titles[index], self._new_ids[index] = item.title, item.item_id
            self.columns.put(index, {**item.document, ITEM_ID: item.item_id})
            self._new_index.pop(encoded, None)
            self._new_index[encoded] = index
        self.changes += 1
        return indices


def merged(
    items: NDArray[np.int32], scores: NDArray[np.float32], more: NDArray[np.int32], more_scores: NDArray[np.float32]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Merge two lists that share no item into one of ``len(items)``, best first; ties keep the first list's item."""
    all_scores = np.concatenate([scores, more_scores])
    best = np.argsort(-all_scores, kind="stable")[: len(items)]
    return np.concatenate([items, more])[best], all_scores[best]
