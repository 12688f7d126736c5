"""Removes items of categories that the user dislikes."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.catalog import Catalog
from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.query import Query

EVIDENCE = 3
"""A category is disliked while so many of its newest distinct items in the history are all disliked."""


class DislikedCategory:
    """Removes candidates all of whose categories the user dislikes. Items without a category are kept.

    Does not apply to requests with a query or a category filter, which state the interest. One item of the category
    that the user likes again ends it.

    Args:
        catalog: gives the rows of the history's items.
        categories: the category vocabulary.
        width: columns of the category in an item row.
    """

    name = "disliked_category"
    relaxable = True

    def __init__(self, catalog: Catalog, categories: Sequence[str], width: int) -> None:
        self._catalog = catalog
        self._categories = categories
        self._width = width

    def keep(self, query: Query, candidates: Candidates) -> NDArray[np.bool_] | None:
        """True for candidates of a category that is not disliked."""
        disliked = self._disliked(query)
        if not disliked:
            return None
        codes = candidates.rows["categorical"][:, : self._width]
        # Code 0 is "no category", and is first only if the item has none.
        kept: NDArray[np.bool_] = (~np.isin(codes, [0, *disliked])).any(axis=1) | (codes[:, 0] == 0)
        return kept

    def reasons(self, query: Query, candidates: Candidates) -> list[str]:
        """The disliked categories of each candidate."""
        disliked = set(self._disliked(query))
        codes = candidates.rows["categorical"][:, : self._width].tolist()
        named = [", ".join(self._categories[code] for code in row if code in disliked) for row in codes]
        return [f"the user dislikes the newest {EVIDENCE} items of {names or 'its categories'}" for names in named]

    def _disliked(self, query: Query) -> list[int]:
        """Codes of the categories that the user dislikes."""
        state = query.user.state
        if query.states_interest or np.count_nonzero(state.values < 0) < EVIDENCE:
            return []
        # The history newest first, each item once; an item has the same value in all of its events.
        values = dict(zip(state.events.items[::-1].tolist(), state.values[::-1].tolist(), strict=True))
        rows = self._catalog.rows.take(np.fromiter(values, np.int32, len(values)))
        newest: dict[int, list[float]] = defaultdict(list)
        for codes, value in zip(rows["categorical"][:, : self._width].tolist(), values.values(), strict=True):
            for code in set(codes):
                newest[code].append(value)
        return [
            code
            for code, of_category in newest.items()
            if code and len(of_category) >= EVIDENCE and max(of_category[:EVIDENCE]) < 0
        ]
