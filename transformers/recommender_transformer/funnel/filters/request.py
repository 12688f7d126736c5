"""Applies the ``filters`` of a request: categories, excluded items, the condition on columns; and its earlier pages."""

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.catalog import Catalog
from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.query import Query
from winnow.arrays.membership import are_among
from winnow.request import quote


class RequestFilter:
    """Removes items that the request excludes, that its categories or condition omit, or that earlier pages had.

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

    def keep(self, query: Query, candidates: Candidates) -> NDArray[np.bool_] | None:
        """True for items that the request allows; excluded ids that are not in the catalog have no effect."""
        asks = query.wanted or query.asked.item or query.page.shown or query.request.filters.exclude_items
        if not asks and query.categories is None:
            return None
        allowed = ~self._excluded(query, candidates)
        if query.categories is not None:
            allowed &= self._in(query.categories, candidates)
        if query.wanted is not None and query.wanted.where is not None:
            allowed &= query.wanted.where.mask(self._catalog.columns, candidates.items)
        return allowed & ~self._shown(query, candidates) if query.page.shown else allowed

    def reasons(self, query: Query, candidates: Candidates) -> list[str]:
        """Which of them applies first."""
        reasons = [f"does not match {quote(query.request.filters.where)}"] * len(candidates)
        if query.categories is not None:
            for position in np.flatnonzero(~self._in(query.categories, candidates)).tolist():
                reasons[position] = "not in a requested category"
        if query.page.shown:
            for position in np.flatnonzero(self._shown(query, candidates)).tolist():
                reasons[position] = "on an earlier page"
        for position in np.flatnonzero(self._excluded(query, candidates)).tolist():
            is_asked = candidates.items[position] == query.asked.item
            reasons[position] = "the item that was asked about" if is_asked else "excluded by the request"
        return reasons

    def _in(self, categories: NDArray[np.int32], candidates: Candidates) -> NDArray[np.bool_]:
        codes = candidates.rows["categorical"][:, : self._width]
        return np.asarray(np.isin(codes, categories).any(axis=1))

    def _shown(self, query: Query, candidates: Candidates) -> NDArray[np.bool_]:
        return query.page.has(self._catalog.words(candidates.items))

    def _excluded(self, query: Query, candidates: Candidates) -> NDArray[np.bool_]:
        excluded = np.zeros(len(candidates), dtype=np.bool_)
        if query.request.filters.exclude_items:
            excluded |= are_among(candidates.items, self._catalog.indices(query.request.filters.exclude_items))
        if query.asked.item:
            excluded |= candidates.items == query.asked.item
        return excluded
