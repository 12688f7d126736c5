"""The release's items by popularity, all of them: a backfill that needs no other process."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.growing import GrowingArray
from recommender_transformer.funnel.query import Query
from recommender_transformer.funnel.stages import Backfill
from winnow.schema import FeatureSchema


class Popular:
    """Every item of the release, most popular first.

    Args:
        popular: int32 [n], item indices by popularity.
        item_rows: the rows of the catalog.
        schema: gives the width of the category.
    """

    name = "popular"

    def __init__(self, popular: NDArray[np.int32], item_rows: GrowingArray[np.void], schema: FeatureSchema) -> None:
        self._popular = popular
        self._categories = item_rows.take(popular)["categorical"][:, : schema.item[0].width]

    def items(self, query: Query) -> tuple[NDArray[np.int32]]:
        """The items of the requested categories, most popular first."""
        if query.categories is None:
            return (self._popular,)
        return (self._popular[np.isin(self._categories, query.categories).any(axis=1)],)


class PopularOthers:
    """Popular items without the one that the request asks the complements of.

    Args:
        popular: all popular items.
    """

    name = "popular"

    def __init__(self, popular: Backfill) -> None:
        self._popular = popular

    def items(self, query: Query) -> Iterator[NDArray[np.int32]]:
        """The items of the requested categories, most popular first."""
        for part in self._popular.items(query):
            yield part[part != query.asked.item]
