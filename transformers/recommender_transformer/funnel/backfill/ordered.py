"""The lists that are shown as they are: popular, trending, new and last seen items."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.catalog import Catalog
from recommender_transformer.funnel.query import Query
from winnow.retrieval.item_orders import ItemOrders, Order

_NEWEST = 512
"""New items that are read at first."""


class Ordered:
    """The catalog in an order of the release: ``popular``, and for ``new`` with the new items before it.

    Items that were added after the release are newer than all of its items, the last added first.

    Args:
        order: the order.
        orders: those of the release.
        catalog: gives the new items.
    """

    def __init__(self, order: Order, orders: ItemOrders, catalog: Catalog) -> None:
        self.name: str = order
        self._order: Order = order
        self._orders = orders
        self._catalog = catalog

    def items(self, query: Query) -> Iterator[NDArray[np.int32]]:
        """The items of the requested categories; of new items those of all, because a filter decides."""
        if self._order == "new" and self._catalog.new_items:
            yield self._catalog.newest(_NEWEST)
            if self._catalog.new_items > _NEWEST:
                yield self._catalog.newest(self._catalog.new_items)
        codes = None if query.categories is None else query.categories.tolist()
        yield from self._orders.items(self._order, codes, self._catalog.rows.release)


class LastSeen:
    """The items of the user's newest events, each once, the last one first: at most the history that the models read.

    Items that the user dislikes are removed by a filter.
    """

    name = "last_seen"

    def items(self, query: Query) -> Iterator[NDArray[np.int32]]:
        """The items of the history and the session."""
        newest_first = query.user.state.events.items[::-1]
        _, first = np.unique(newest_first, return_index=True)
        yield newest_first[np.sort(first)]
