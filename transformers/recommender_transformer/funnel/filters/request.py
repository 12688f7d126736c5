"""Applies the ``filters`` of the request: categories to stay within, items to exclude."""

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.catalog import Catalog
from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.query import Query
from winnow.arrays.membership import are_among


class RequestFilter:
    """Removes items that the request excludes, and items outside its categories. Exact.

    Args:
        catalog: gives the indices of items.
        width: columns of the category in an item row.
    """

    name = "request"
    relaxable = False

    def __init__(self, catalog: Catalog, width: int) -> None:
        self._catalog = catalog
        self._width = width

    def keep(self, query: Query, candidates: Candidates) -> NDArray[np.bool_]:
        """True for items that the request allows; excluded ids that are not in the catalog have no effect."""
        allowed = ~self._excluded(query, candidates)
        if query.categories is not None:
            allowed &= np.isin(candidates.rows["categorical"][:, : self._width], query.categories).any(axis=1)
        return allowed

    def reasons(self, query: Query, candidates: Candidates) -> list[str]:
        """Which of the two applies."""
        excluded = self._excluded(query, candidates).tolist()
        return ["excluded by the request" if out else "not in a requested category" for out in excluded]

    def _excluded(self, query: Query, candidates: Candidates) -> NDArray[np.bool_]:
        if not query.request.filters.exclude_items:
            return np.zeros(len(candidates), dtype=np.bool_)
        return are_among(candidates.items, self._catalog.indices(query.request.filters.exclude_items))
