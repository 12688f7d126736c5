"""Removes items that the user dislikes."""

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.query import Query
from winnow.arrays.membership import are_among


class Disliked:
    """Removes items whose events in the user's history have a negative value in sum. Exact.

    The history includes events that no sidecar has applied yet, and new items.
    """

    name = "disliked"
    relaxable = False

    def keep(self, query: Query, candidates: Candidates) -> NDArray[np.bool_] | None:
        """True for items that the user does not dislike."""
        state = query.user.state
        disliked = state.events.items[state.values < 0]
        if not len(disliked):
            return None
        return ~are_among(candidates.items, disliked)

    def reasons(self, query: Query, candidates: Candidates) -> list[str]:
        """The value that the item's events have in sum."""
        state = query.user.state
        values = dict(zip(state.events.items.tolist(), state.values.tolist(), strict=True))
        return [f"the user's events with it have the value {values.get(i, 0.0):g}" for i in candidates.items.tolist()]
