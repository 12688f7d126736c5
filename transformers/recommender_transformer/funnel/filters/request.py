"""Applies the ``filters`` of the request, categories to stay within and items to exclude, and its earlier pages."""

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.catalog import Catalog
from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.query import Query
from winnow.arrays.membership import are_among


class RequestFilter:
    """Removes items that the request excludes, items outside its categories, and those of earlier pages.

    Exact but for earlier pages, which are recognised by marks of 24 bits: what was shown is always removed, and of
    1,000 shown items one other candidate in 17,000 is mistaken for one of them.

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
        return allowed & ~self._shown(query, candidates) if query.page.shown else allowed

    def reasons(self, query: Query, candidates: Candidates) -> list[str]:
        """Which of the three applies."""
        excluded, shown = self._excluded(query, candidates).tolist(), self._shown(query, candidates).tolist()
        return [
            "excluded by the request" if out else "on an earlier page" if before else "not in a requested category"
            for out, before in zip(excluded, shown, strict=True)
        ]

    def _shown(self, query: Query, candidates: Candidates) -> NDArray[np.bool_]:
        return query.page.has(self._catalog.words(candidates.items))

    def _excluded(self, query: Query, candidates: Candidates) -> NDArray[np.bool_]:
        if not query.request.filters.exclude_items:
            return np.zeros(len(candidates), dtype=np.bool_)
        return are_among(candidates.items, self._catalog.indices(query.request.filters.exclude_items))
