"""Applies the filters of the rules in force: those for every recommendation, and those that a request names."""

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.catalog import Catalog
from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.query import Query


class Named:
    """Removes the items that a filter of the query's rules does not select. Exact.

    Args:
        catalog: gives the columns of items.
    """

    name = "rules"
    relaxable = False

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def keep(self, query: Query, candidates: Candidates) -> NDArray[np.bool_] | None:
        """True for items that every filter selects."""
        if query.rules is None or not query.rules.filters:
            return None
        kept = np.ones(len(candidates), np.bool_)
        for one in query.rules.filters.values():
            kept &= one.mask(self._catalog.columns, candidates.items)
        return kept

    def reasons(self, query: Query, candidates: Candidates) -> list[str]:
        """The first filter that does not select each."""
        assert query.rules is not None
        masks = {name: one.mask(self._catalog.columns, candidates.items) for name, one in query.rules.filters.items()}
        firsts = (next((name for name, mask in masks.items() if not mask[n]), "") for n in range(len(candidates)))
        return [f"not selected by the filter {name}" for name in firsts]
