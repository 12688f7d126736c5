"""Never an item the user has met."""

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.catalog import Catalog
from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.query import Query


class Seen:
    """Removes what is in the user's Bloom filter, in the history, or was met a moment ago.

    The last two are exact, and the last is never behind.

    Args:
        catalog: whose items are judged.
    """

    name = "seen"
    relaxable = False

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def keep(self, query: Query, candidates: Candidates) -> NDArray[np.bool_]:
        """True for items the user has not met."""
        met = self._lately(query, candidates)
        if query.state.seen is not None:
            met |= query.state.seen.contains(candidates.items, self._catalog.hashes)
        return ~met

    def reasons(self, query: Query, candidates: Candidates) -> list[str]:
        """Whether it was a short while ago, or only the filter knows it."""
        lately = self._lately(query, candidates).tolist()
        return ["in the user's recent history" if known else "in the user's filter" for known in lately]

    def _lately(self, query: Query, candidates: Candidates) -> NDArray[np.bool_]:
        met = np.isin(candidates.items, query.state.history.items)
        if query.state.recent:
            met |= np.isin(candidates.items, self._catalog.indices(query.state.recent))
        return met
