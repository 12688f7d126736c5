"""Applies an orderer to the unseen and to the seen candidates apart, where seen ones are demoted."""

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.query import Query
from recommender_transformer.funnel.stages import Orderer


class UnseenFirst:
    """Where the query demotes repeats, every unseen candidate precedes all seen ones; otherwise changes nothing.

    Each part is ordered by itself: a score lowered for seen candidates would change what an orderer makes of the
    others' scores.

    Args:
        orderer: orders each part.
    """

    def __init__(self, orderer: Orderer) -> None:
        self._orderer = orderer
        self.name = orderer.name

    def order(self, query: Query, candidates: Candidates) -> NDArray[np.intp]:
        """Positions of the chosen candidates, unseen ones first."""
        if query.repeats != "demote" or not candidates.seen.any():
            return self._orderer.order(query, candidates)
        parts = (np.flatnonzero(~candidates.seen), np.flatnonzero(candidates.seen))
        return np.concatenate([part[self._orderer.order(query, candidates.take(part))] for part in parts])
