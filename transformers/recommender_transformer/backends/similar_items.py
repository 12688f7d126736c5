"""Finds the items with the vectors nearest to an item's: by the release's table, or by an exact scan."""

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.catalog import Catalog
from winnow.ranking.context import SourceList
from winnow.release import Release
from winnow.retrieval.item_orders import ItemOrders

_ROWS = 65_536
"""Items whose products are computed together."""


class SimilarItems:
    """Similar items, the item itself and its duplicates included.

    Args:
        release: gives the table of the nearest items; those of earlier versions have none, and are scanned.
        catalog: gives the vectors, those of new items too.
        orders: give the items of each category.
    """

    def __init__(self, release: Release, catalog: Catalog, orders: ItemOrders) -> None:
        self._catalog = catalog
        self._orders = orders
        self._width = release.schema.item[0].width
        # As they are now: those of changed items too.
        self._vectors = catalog.vectors.release
        held = "nearest.npy" in release.manifest.files
        self._nearest: NDArray[np.int32] = np.asarray(release.array("nearest")) if held else np.empty((0, 0), np.int32)

    def vector(self, item: int) -> NDArray[np.float32]:
        """float32 [D], the vector of an item."""
        vector: NDArray[np.float32] = self._catalog.vectors.take(np.array([item], np.int32))[0]
        return vector

    def has_table(self, item: int) -> bool:
        """Whether the release's table has the neighbours of an item; not those of new items and of changed vectors."""
        moved = len(self._catalog.changed) and self._catalog.changed.has_moved(np.array([item], np.int32))[0]
        return item < len(self._nearest) and not moved

    @property
    def table_width(self) -> int:
        """Neighbours in the table."""
        return int(self._nearest.shape[1])

    def from_table(self, item: int) -> SourceList:
        """The neighbours of an item of the release by the table, and new and changed items; some microseconds."""
        row = self._nearest[item]
        items = np.append(np.int32(item), row[row > 0])
        vector = self.vector(item)
        return SourceList(*self._catalog.corrected(items, self._catalog.vectors.take(items) @ vector, vector))

    def scan(self, item: int, count: int, categories: NDArray[np.int32] | None = None) -> SourceList:
        """The nearest items by products with all vectors, or with those of some categories: O(items).

        Args:
            item: index of the item.
            count: how many items at most.
            categories: codes of the categories to search; ``None`` for all items.
        """
        vector = self.vector(item)
        if categories is None:
            items, products = _best_of_all(self._vectors, vector, count)
        else:
            parts = [self._orders.of_category("popular", code) for code in categories.tolist()]
            changed = self._catalog.changed
            if len(changed):
                # Those that have come into the categories; those that have left them are filtered like any other.
                of_now = self._catalog.rows.take(changed.items)["categorical"]
                parts.append(changed.items[np.isin(of_now[:, : self._width], categories).any(axis=1)])
            items = np.unique(np.concatenate(parts)) if parts else np.empty(0, np.int32)
            items, products = _best(items, self._vectors.take(items, axis=0) @ vector, count)
        return self._with_new(vector, items, products, count)

    def _with_new(
        self, vector: NDArray[np.float32], items: NDArray[np.int32], products: NDArray[np.float32], count: int
    ) -> SourceList:
        if self._catalog.new_items:
            more, scores = self._catalog.nearest_new(vector, count)
            items, products = np.concatenate([items, more]), np.concatenate([products, scores])
        return SourceList(*_best(items, products, count))


def _best_of_all(
    vectors: NDArray[np.float32], vector: NDArray[np.float32], count: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The best of a catalog, whose row 0 is padding."""
    items, products = np.empty(0, np.int32), np.empty(0, np.float32)
    for start in range(1, len(vectors), _ROWS):
        part = vectors[start : start + _ROWS] @ vector
        here = np.arange(start, start + len(part), dtype=np.int32)
        items, products = _best(np.concatenate([items, here]), np.concatenate([products, part]), count)
    return items, products


def _best(
    items: NDArray[np.int32], products: NDArray[np.float32], count: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The items of the highest products, best first; of equal ones the first."""
    if count < len(items):
        # All that are not below the last of the best, so that ties are decided by the order of the items.
        least = np.partition(products, len(products) - count)[len(products) - count]
        kept = np.flatnonzero(products >= least)
        items, products = items[kept], products[kept]
    order = np.argsort(-products, kind="stable")[:count]
    return items[order], products[order]
