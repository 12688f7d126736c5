"""The release's items by popularity, all of them: a backfill that needs no other process."""

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.catalog import Catalog
from recommender_transformer.funnel.query import Query
from winnow.arrays.membership import are_among
from winnow.schema import FeatureSchema


class Popular:
    """Every item of the release, most popular first.

    Args:
        popular: int32 [n], item indices by popularity.
        catalog: gives the rows, and the changed items.
        schema: gives the width of the category.
    """

    name = "popular"

    def __init__(self, popular: NDArray[np.int32], catalog: Catalog, schema: FeatureSchema) -> None:
        self._popular = popular
        self._catalog = catalog
        self._categories = catalog.rows.take(popular)["categorical"][:, : schema.item[0].width]

    def items(self, query: Query) -> tuple[NDArray[np.int32]]:
        """The items that match the request's conditions, most popular first; all items while those are unknown."""
        if query.matching.items is not None:
            return (query.matching.items,)
        if query.categories is None:
            return (self._popular,)
        allowed = np.isin(self._categories, query.categories).any(axis=1)
        if len(changed := self._catalog.changed):
            # Items that have come into the categories; those that have left them are filtered like any other.
            now = self._catalog.rows.take(changed.items)["categorical"][:, : self._categories.shape[1]]
            allowed |= are_among(self._popular, changed.items[np.isin(now, query.categories).any(axis=1)])
        return (self._popular[allowed],)
