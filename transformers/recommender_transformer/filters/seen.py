"""Never an item the user has met."""

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.candidates import Candidates
from recommender_transformer.query import Query
from winnow.filtering.hashing import ItemHashes


class Seen:
    """Removes what is in the user's Bloom filter or in the history that was just read.

    The history is looked at too because it is exact and never behind.

    Args:
        hashes: 128-bit hash of every item, by index.
    """

    name = "seen"
    gives_way = False

    def __init__(self, hashes: ItemHashes) -> None:
        self._hashes = hashes

    def keep(self, query: Query, candidates: Candidates) -> NDArray[np.bool_]:
        """True for items the user has not met."""
        met = np.isin(candidates.items, query.state.history.items)
        if query.state.seen is not None:
            met |= query.state.seen.contains(candidates.items, self._hashes)
        return ~met

    def reasons(self, query: Query, candidates: Candidates) -> list[str]:
        """Which of the two knows it."""
        recent = np.isin(candidates.items, query.state.history.items).tolist()
        return ["in the user's recent history" if known else "in the user's filter" for known in recent]
