"""What the catalog's pages need of a release beside its columns: orders, events, neighbours, categories, the map."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from winnow.arrays.strings import Strings
from winnow.explorer.base.items import OpenedRelease
from winnow.items.text_columns import LongTextColumn

COLD = 5
"""An item with fewer events in the log is cold: little is known of it but its content."""

LISTED = 300
"""Categories that a form offers."""


@dataclass(frozen=True)
class Category:
    """A category of the catalog.

    Attributes:
        name: the merchant's.
        items: number of its items; ``None`` where the release does not say.
    """

    name: str
    items: int | None


class Facts:
    """Lookups in one release; what it was built without is ``None`` or empty.

    Args:
        release: the release.
    """

    def __init__(self, release: OpenedRelease) -> None:
        self.opened = release
        self.count = release.release.items

    def has(self, array: str) -> bool:
        """Whether the release has an array."""
        return f"{array}.npy" in self.opened.release.manifest.files

    @cached_property
    def events(self) -> NDArray[np.int32] | None:
        """int32 [n + 1], events of each item in the log."""
        found: NDArray[np.int32] | None = self._array("item_events")
        return found

    @cached_property
    def popular(self) -> NDArray[np.int32]:
        """int32, the items by popularity; of releases from before the whole order was recorded, its head alone."""
        found = self._array("order_popular")
        found = self._array("popular") if found is None else found
        return np.zeros(0, np.int32) if found is None else found

    @cached_property
    def neighbours(self) -> tuple[NDArray[np.int32], NDArray[np.float32]] | None:
        """int32 and float32 [n + 1, M], co-visited items and their weights."""
        items, weights = self._array("neighbours"), self._array("neighbour_weights")
        return None if items is None or weights is None else (items, weights)

    @cached_property
    def texts(self) -> list[Strings]:
        """The searched columns: ids, and titles where the catalog has some."""
        columns = self.opened.columns
        title = columns["title"] if "title" in columns.names else None
        return [self.opened.release.strings("item_ids"), *([title.texts] if isinstance(title, LongTextColumn) else [])]

    @cached_property
    def categories(self) -> list[Category]:
        """The categories, the largest first; empty where the catalog has none."""
        names = self.opened.release.vocabularies.get("category", [])[1:]
        offsets = self._array("order_category_offsets")
        if offsets is None or len(offsets) < len(names) + 2:
            return [Category(name, None) for name in names]
        counts = np.diff(offsets)[1 : len(names) + 1]
        order = np.argsort(-counts, kind="stable")
        return [Category(names[place], int(counts[place])) for place in order.tolist()]

    @cached_property
    def places(self) -> tuple[NDArray[np.int32], NDArray[np.uint16]] | None:
        """int32 [m], the items on the map, ascending, and uint16 [m, 2], where; ``None`` without a map."""
        items, points = self._array("map_items"), self._array("map_points")
        return None if items is None or points is None else (items, points)

    def of_category(self, name: str) -> NDArray[np.bool_]:
        """Bool [n + 1], whether each item has a category. Reads a number for each item."""
        columns = self.opened.columns
        if "category" not in columns.names:
            return np.zeros(self.count + 1, np.bool_)
        found = columns["category"].among(None, [name])
        found[0] = False
        return found

    def category_of(self, index: int) -> str:
        """The first category of an item; empty for none."""
        columns = self.opened.columns
        value = columns["category"].value(index) if "category" in columns.names else None
        return str(value[0] if isinstance(value, list) and value else value or "")

    def is_cold(self, index: int) -> bool | None:
        """Whether an item is cold; ``None`` where the release does not say."""
        return None if self.events is None else bool(self.events[index] < COLD)

    def by_popularity(self, items: NDArray[np.int32]) -> NDArray[np.int32]:
        """The same items, the most popular first; those without a place in the order last."""
        chosen = np.zeros(self.count + 1, np.bool_)
        chosen[items] = True
        first = self.popular[chosen[self.popular]]
        chosen[first] = False
        return np.concatenate([first, items[chosen[items]]]).astype(np.int32)

    def _array(self, name: str) -> Any:
        return np.asarray(self.opened.release.array(name)) if self.has(name) else None
