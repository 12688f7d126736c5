"""Never an item that cannot be had."""

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.query import Query


class Available:
    """Removes items whose row says so; exact, up to the age at which a row is read again."""

    name = "available"
    relaxable = False

    def keep(self, query: Query, candidates: Candidates) -> NDArray[np.bool_]:
        """True for items that can be had."""
        available: NDArray[np.bool_] = candidates.rows["available"] != 0
        return available

    def reasons(self, query: Query, candidates: Candidates) -> list[str]:
        """One for all."""
        return ["its row says that it cannot be had"] * len(candidates)
