"""Only what the caller allows: categories to stay within, items to leave out."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.query import Query
from winnow.request import InvalidRequest, RecommendRequest, quote


class Allowed:
    """Applies ``filters`` of the request; exact.

    Args:
        item_index: id -> index of every item.
        categories: the category vocabulary; a value's code is its position.
        width: columns that the category takes in an item row.
    """

    name = "request"
    relaxable = False

    def __init__(self, item_index: Mapping[str, int], categories: Sequence[str], width: int) -> None:
        self._item_index = item_index
        self._codes = {name: code for code, name in enumerate(categories) if code}
        self._width = width

    def codes(self, request: RecommendRequest, where: str) -> NDArray[np.int32] | None:
        """Codes of the categories the caller wants; none where all are welcome.

        Raises:
            InvalidRequest: one of them is not a category of this release.
        """
        wanted = request.filters.categories
        if wanted is None:
            return None
        for position, name in enumerate(wanted):
            if name not in self._codes:
                raise InvalidRequest(
                    f"{where}.filters.categories[{position}]: must be a category of the catalog, got {quote(name)}"
                )
        return np.array([self._codes[name] for name in wanted], dtype=np.int32)

    def keep(self, query: Query, candidates: Candidates) -> NDArray[np.bool_]:
        """True for items that the caller allows; an unknown id to leave out is left out already."""
        allowed = ~self._excluded(query, candidates)
        if query.categories is not None:
            allowed &= np.isin(candidates.rows["categorical"][:, : self._width], query.categories).any(axis=1)
        return allowed

    def reasons(self, query: Query, candidates: Candidates) -> list[str]:
        """Which of the two wishes."""
        excluded = self._excluded(query, candidates).tolist()
        return ["excluded by the caller" if out else "not of a category that the caller wants" for out in excluded]

    def _excluded(self, query: Query, candidates: Candidates) -> NDArray[np.bool_]:
        unwanted = [self._item_index[i] for i in query.request.filters.exclude_items if i in self._item_index]
        if not unwanted:
            return np.zeros(len(candidates), dtype=np.bool_)
        return np.isin(candidates.items, np.array(unwanted, dtype=np.int32))
