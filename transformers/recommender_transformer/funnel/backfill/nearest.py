"""All items by their similarity to an item: a scan of the vectors, for the few requests that need more."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.similar_items import SimilarItems
from recommender_transformer.funnel.query import Query

_HEAD = 2048


class Nearest:
    """Continues the source ``similar`` where filters removed nearly all of its items.

    Args:
        items: finds similar items.
    """

    name = "nearest"

    def __init__(self, items: SimilarItems) -> None:
        self._items = items

    def items(self, query: Query) -> Iterator[NDArray[np.int32]]:
        """The nearest ones, then all, of the requested categories where there are some."""
        item, categories = query.asked.item, query.categories
        yield self._items.scan(item, _HEAD, categories).items
        yield self._items.scan(item, np.iinfo(np.int32).max, categories).items
