"""Finds the items that the user has seen, and removes them where repeats are hidden."""

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.catalog import Catalog
from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.query import Query
from winnow.arrays.membership import are_among


class Seen:
    """Marks items in the user's seen filter (a Bloom filter), history or recent events; removes them to hide repeats.

    History and recent events are exact; recent events are those that the seen filter may not contain yet.

    Args:
        catalog: gives the items' indices and hashes.
    """

    name = "seen"
    relaxable = False

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def keep(self, query: Query, candidates: Candidates) -> NDArray[np.bool_] | None:
        """True for items that the user has not seen, and for all unless repeats are hidden; sets ``seen``."""
        seen = self._recently_seen(query, candidates)
        if query.user.state.seen is not None:
            seen |= query.user.state.seen.contains(candidates.items, self._catalog)
        candidates.seen = seen
        return ~seen if query.repeats == "hide" else None

    def reasons(self, query: Query, candidates: Candidates) -> list[str]:
        """Whether the history has the item, or only the seen filter."""
        recent = self._recently_seen(query, candidates).tolist()
        return ["in the user's recent history" if is_recent else "in the user's seen filter" for is_recent in recent]

    def _recently_seen(self, query: Query, candidates: Candidates) -> NDArray[np.bool_]:
        state = query.user.state
        items = state.events.items
        if state.recent:
            items = np.concatenate([items, self._catalog.indices(state.recent)])
        return are_among(candidates.items, items)
