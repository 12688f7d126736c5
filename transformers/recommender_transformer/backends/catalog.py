"""The items that can be recommended: the release's as they are now, and new items that were added since its build."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.changed_items import ChangedItems
from recommender_transformer.backends.growing import GrowingArray
from winnow.arrays.membership import are_among
from winnow.bloom.hashing import item_hashes
from winnow.items.columns import ITEM_ID, ItemColumns
from winnow.items.index import ItemIndex
from winnow.release import Release

_RECENT = 20_000
"""Ids of the release whose index is remembered: few are asked for most of the time, and each search costs a hash."""

OF_RELEASE = -1
"""The slot of an item that belongs to the release."""

INHERITED = b""
"""``inputs`` of an item whose vector is the release's own."""


class LiveItem(NamedTuple):
    """An item as it is now, where the release does not have it so: a new, a changed or a deleted item.

    Attributes:
        item_id: the item's id.
        slot: its number among the new items, the same in every process: 0, 1, … below
            :data:`winnow.signatures.NEW_ITEM_CAPACITY`; :data:`OF_RELEASE` for an item of the release.
        vector: float32 [D], the item vector, unit length; zeros for an item that cannot be found by it.
        row: structured scalar of the schema's ``item_dtype``, with the item's index: ``n + 1 + slot`` of a new item.
        title: the title to display; "" if the item has none.
        document: its values in the catalog's columns; see :meth:`winnow.items.columns.ItemColumns.document`.
        deleted: whether it is deleted.
        version: id of the latest change that this item contains; "" where unknown.
        inputs: digest of what the vector was computed from; :data:`INHERITED` for the release's vector.
    """

    item_id: str
    slot: int
    vector: NDArray[np.float32]
    row: np.void
    title: str
    document: Mapping[str, Any] = MappingProxyType({})
    deleted: bool = False
    version: str = ""
    inputs: bytes = INHERITED


class Catalog:
    """The items by index: those of the release, read from its memory-mapped arrays, and new items behind them.

    The new item of slot ``s`` has the index ``n + 1 + s``. No memory and no time at the start is in proportion to the
    items of the release, and the pages that are read are shared by all processes of a machine.

    A deleted item has no id that :meth:`find` knows, is not available in ``rows``, and :meth:`deleted` names it:
    candidates by index (lists, neighbours, pins) must pass one of the three.

    Args:
        release: gives the items of the release.

    Attributes:
        size: ``n``, the number of items of the release.
        vectors: float32 [n + 1 + new items, D], item vectors.
        rows: structured [n + 1 + new items], item rows as of the release or of the item's latest change.
        titles: titles of new and changed items by index; the release has those of the others.
        columns: the values of the catalog's columns, as they are now.
        changed: the changed items of the release.
        changes: number of calls that added, changed or deleted items.
    """

    def __init__(self, release: Release) -> None:
        self.size = release.items
        self._ids = release.strings("item_ids")
        self._index = ItemIndex.of(release)
        self._recent: dict[bytes, int] = {}
        self.vectors: GrowingArray[np.float32] = GrowingArray(release.array("item_vectors", writable=True))
        self.rows: GrowingArray[np.void] = GrowingArray(release.array("item_rows", writable=True))
        self._words: GrowingArray[np.uint64] = GrowingArray(release.array("item_hash_words"))
        self._slots: GrowingArray[np.bool_] = GrowingArray(np.zeros(0, np.bool_))
        self.titles: dict[int, str] = {}
        self.columns = ItemColumns.of(release)
        self.changed = ChangedItems(self.dimension)
        self.changes = 0
        self._states: dict[str, tuple[str, bytes]] = {}
        self._deleted: set[int] = set()
        self._deleted_items = np.zeros(0, np.int32)
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
        """The index of each of some ids in UTF-8: int32 [k], 0 for ids that the catalog lacks, deleted ones too."""
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
        if self._deleted:
            items[self.deleted(items)] = 0
        return items

    def indices(self, item_ids: Iterable[str]) -> NDArray[np.int32]:
        """int32, indices of the given items; ids that are not in the catalog are skipped."""
        items = self.find([item_id.encode() for item_id in item_ids])
        return items[items > 0]

    def __contains__(self, item_id: str) -> bool:
        return len(self.indices([item_id])) > 0

    def index_in_release(self, item_id: str) -> int:
        """The index of an item of the release, also of a deleted one; 0 if the release does not have it."""
        return int(self._index.find([item_id.encode()])[0])

    def deleted(self, items: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Whether each item is deleted: bool [n]."""
        return are_among(items, self._deleted_items)

    def knows(self, item_id: str) -> bool:
        """Whether the item is or was in the catalog: one of the release, a new one, or a deleted one."""
        return item_id in self._states or self.index_in_release(item_id) > 0

    def version(self, item_id: str) -> str:
        """Id of the latest change of an item that this process has received; "" without one."""
        return self._states.get(item_id, ("", INHERITED))[0]

    def inputs(self, item_id: str) -> bytes:
        """Digest of what an item's vector was computed from; :data:`INHERITED` for the release's own."""
        return self._states.get(item_id, ("", INHERITED))[1]

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
        slots, products = _best(self.vectors.added, counts, vector, count)
        return (slots + self.size + 1).astype(np.int32), products

    def corrected(
        self, items: NDArray[np.int32], scores: NDArray[np.float32], vector: NDArray[np.float32]
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The result of a search in the release's vectors, as if the index held the catalog as it is now.

        Items whose vector has changed leave the result; they and the new items come back with the product of their
        vector now. The result has at most as many items as before.

        Args:
            items: int32 [k], best first.
            scores: float32 [k], their products.
            vector: float32 [D], what was searched with.
        """
        if not self._new_index and not len(self.changed):
            return items, scores
        kept, kept_scores, count = items, scores, len(items)
        found = [self.nearest_new(vector, count)] if self._new_index else []
        if len(self.changed):
            stays = np.flatnonzero(~self.changed.has_moved(items))
            kept, kept_scores = items.take(stays), scores.take(stays)
            found.append(self.nearest_changed(vector, count, self.changed.moved))
        more, more_scores = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return merged(kept, kept_scores, more, more_scores, count)

    def nearest_changed(
        self, vector: NDArray[np.float32], count: int, among: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The changed items of the release with the highest product of a vector and theirs now.

        Args:
            vector: float32 [D].
            count: how many items at most.
            among: bool, which of ``changed.items`` count; deleted ones never do.
        """
        changed = self.changed
        places, products = _best(changed.vectors, changed.present & among, vector, count)
        return changed.items.take(places), products

    def put(self, items: Sequence[LiveItem]) -> NDArray[np.int32]:
        """Add, change or delete items, at least one; returns the index of each: int32 [k]."""
        indices = np.array([int(item.row["index"]) for item in items], np.int32)
        new = [item for item in items if item.slot != OF_RELEASE]
        changed = [item for item in items if item.slot == OF_RELEASE]
        if new:
            self._put_new(new)
        if changed:
            self._put_changed(changed)
        for index, item in zip(indices.tolist(), items, strict=True):
            self.titles[index] = item.title
            self.columns.put(index, {} if item.deleted else {**item.document, ITEM_ID: item.item_id})
            self._states[item.item_id] = (item.version, item.inputs)
            if item.deleted:
                self._deleted.add(index)
            else:
                self._deleted.discard(index)
        self._deleted_items = np.fromiter(self._deleted, np.int32, len(self._deleted))
        self.changes += 1
        return indices

    def _put_new(self, items: Sequence[LiveItem]) -> None:
        slots = np.array([item.slot for item in items], np.int32)
        self.vectors.put(slots, np.stack([item.vector for item in items]))
        self.rows.put(slots, np.array([item.row for item in items], self.rows.dtype))
        self._words.put(slots, item_hashes(item.item_id for item in items).table)
        self._slots.put(slots, np.array([not item.deleted and item.vector.any() for item in items], np.bool_))
        for slot, item in zip(slots.tolist(), items, strict=True):
            index, encoded = self.size + 1 + slot, item.item_id.encode()
            self._new_index.pop(encoded, None)
            self._new_ids.pop(index, None)
            if not item.deleted:
                self._new_ids[index], self._new_index[encoded] = item.item_id, index

    def _put_changed(self, items: Sequence[LiveItem]) -> None:
        indices = np.array([int(item.row["index"]) for item in items], np.int32)
        vectors = np.stack([item.vector for item in items])
        self.rows.change(indices, np.array([item.row for item in items], self.rows.dtype))
        self.vectors.change(indices, vectors)
        present = np.array([not item.deleted for item in items], np.bool_)
        moved = np.array([item.deleted or item.inputs != INHERITED for item in items], np.bool_)
        self.changed.put(indices, vectors, present, moved)


def merged(
    items: NDArray[np.int32],
    scores: NDArray[np.float32],
    more: NDArray[np.int32],
    more_scores: NDArray[np.float32],
    count: int | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Merge two lists that share no item into one, best first; ties keep the first list's item.

    Args:
        items: int32 [k], the first list.
        scores: float32 [k].
        more: int32 [m], the second list.
        more_scores: float32 [m].
        count: length of the result at most; by default that of the first list.
    """
    all_scores = np.concatenate([scores, more_scores])
    best = np.argsort(-all_scores, kind="stable")[: len(items) if count is None else count]
    return np.concatenate([items, more])[best], all_scores[best]


def _best(
    vectors: NDArray[np.float32], counts: NDArray[np.bool_], vector: NDArray[np.float32], count: int
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """The places with the highest products among those that count, best first; ties: the higher place first."""
    products = np.where(counts, vectors @ vector, -np.inf).astype(np.float32, copy=False)
    count = min(count, int(np.count_nonzero(counts)))
    if not count:
        return np.empty(0, np.intp), np.empty(0, np.float32)
    least = np.partition(products, len(products) - count)[len(products) - count]
    places = np.flatnonzero(products >= least)[::-1]
    best = places[np.argsort(-products[places], kind="stable")[:count]]
    return best, products[best]
