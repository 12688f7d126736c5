"""Removes items that are not available."""

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.query import Query


class Available:
    """Removes items whose row has ``available`` 0. Exact, up to the time for which a row is cached."""

    name = "available"
    relaxable = False

    def keep(self, query: Query, candidates: Candidates) -> NDArray[np.bool_]:
        """True for available items."""
        available: NDArray[np.bool_] = candidates.rows["available"] != 0
        return available

    def reasons(self, query: Query, candidates: Candidates) -> list[str]:
        """The same reason for all."""
        return ["not available"] * len(candidates)
