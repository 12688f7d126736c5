"""The whole catalog by popularity and by age, also within each category. NumPy only.

A list of one category must be full as long as the category has available items, and no request may sort a catalog. So
a release has both orders as arrays, and those of each category behind each other.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from winnow.schema import NUMERIC_FEATURES, FeatureSchema

Order = Literal["popular", "new"]
"""Most popular first, or newest first."""

HEAD = 1024
"""Items of several categories that are merged at first; the others are when these do not fill a list."""

_FEATURES: Mapping[Order, tuple[str, float]] = {"popular": ("popularity_7d", -1.0), "new": ("age", 1.0)}
"""Order -> column of the item rows, and the sign with which it rises along the list."""


class ItemOrders(NamedTuple):
    """The orders of a catalog.

    Attributes:
        popular: int32 [n], the items by their popularity of the last week (ties: the smaller index first).
        new: int32 [n], the newest first; of one age, and where none is known, by popularity.
        category_offsets: int64 [C + 1], where the items of each category code begin in the next two; code 0 has none.
        category_popular: int32 [m], the items of each category by popularity; one of two categories is in both.
        category_new: int32 [m], the same, the newest first.
    """

    popular: NDArray[np.int32]
    new: NDArray[np.int32]
    category_offsets: NDArray[np.int64]
    category_popular: NDArray[np.int32]
    category_new: NDArray[np.int32]

    @classmethod
    def of(cls, item_rows: NDArray[np.void], schema: FeatureSchema) -> "ItemOrders":
        """Sort a catalog.

        Args:
            item_rows: structured [n + 1], the rows of the items, row 0 of padding.
            schema: their schema.
        """
        numeric = item_rows["numeric"][1:]
        by_popularity, by_age = (_column(numeric, order) for order in _FEATURES)
        popular = np.argsort(by_popularity, kind="stable")
        new = popular[np.argsort(by_age[popular], kind="stable")]
        category = schema.item[0]
        codes = item_rows["categorical"][1:, : category.width]
        offsets, within = _by_category(codes, popular, category.cardinality)
        _, within_new = _by_category(codes, new, category.cardinality)
        return cls((popular + 1).astype(np.int32), (new + 1).astype(np.int32), offsets, within, within_new)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Name -> array, as a release has them."""
        return {f"{_PREFIX}{name}": array for name, array in self._asdict().items()}

    def items(
        self, order: Order, categories: Sequence[int] | None, rows: NDArray[np.void]
    ) -> Iterator[NDArray[np.int32]]:
        """Items in an order, in parts: together all of them, of which a later part may repeat some.

        Args:
            order: the order.
            categories: codes of the categories whose items are wanted; ``None`` for all items.
            rows: structured [n + 1], the rows of the items, by which the items of several categories are merged.
        """
        if categories is None:
            yield self.popular if order == "popular" else self.new
            return
        parts = [self.of_category(order, code) for code in categories]
        if len(parts) == 1:
            yield parts[0]
            return
        # The first items of the whole are among the first of its parts.
        yield _merged(order, [part[:HEAD] for part in parts], rows)[:HEAD]
        yield _merged(order, parts, rows)

    def of_category(self, order: Order, code: int) -> NDArray[np.int32]:
        """int32, the items of a category in an order: a view."""
        array = self.category_popular if order == "popular" else self.category_new
        return array[self.category_offsets[code] : self.category_offsets[code + 1]]


_PREFIX = "order_"

ARRAYS = tuple(f"{_PREFIX}{name}" for name in ItemOrders._fields)
"""Names of the arrays of a release."""


def _column(numeric: NDArray[np.float32], order: Order) -> NDArray[np.float32]:
    name, sign = _FEATURES[order]
    return numeric[:, NUMERIC_FEATURES.index(name)] * np.float32(sign)


def _by_category(
    codes: NDArray[np.int32], ordered: NDArray[np.intp], cardinality: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The items of each category, in the order of ``ordered``, and where those of each begin."""
    own = codes[ordered].ravel()
    items = np.repeat(ordered + 1, codes.shape[1])
    kept = np.flatnonzero(own)
    grouped = kept[np.argsort(own[kept], kind="stable")]
    counts = np.bincount(own[kept], minlength=cardinality)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return offsets, items[grouped].astype(np.int32)


def _merged(order: Order, parts: Sequence[NDArray[np.int32]], rows: NDArray[np.void]) -> NDArray[np.int32]:
    """The distinct items of some lists, in their common order."""
    items = np.unique(np.concatenate(parts))
    numeric = rows["numeric"][items]
    columns = [_column(numeric, "popular")] if order == "popular" else [_column(numeric, name) for name in _FEATURES]
    return items[np.lexsort(columns)]
