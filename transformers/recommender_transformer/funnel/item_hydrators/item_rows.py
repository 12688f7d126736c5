"""What is known of the candidates: their packed feature rows."""

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.query import Query


class ItemRows:
    """Rows from the process's own cache, or, all that are missing together, from Redis.

    Args:
        store: where rows are read.
        bundled: structured [n + 1], the rows as of the release, for when nothing newer can be had.
    """

    name = "item_rows"

    def __init__(self, store: OnlineStore, bundled: NDArray[np.void]) -> None:
        self._store = store
        self._bundled = bundled

    async def hydrate(self, query: Query, candidates: Candidates) -> NDArray[np.bool_]:
        """Fill the rows; an item that Redis does not know is dropped, never given another item's row."""
        candidates.rows, known = await self._store.item_rows(candidates.items)
        return known

    def fallback(self, query: Query, candidates: Candidates) -> NDArray[np.bool_]:
        """The newest rows this process has seen, or those of the release."""
        rows, held = self._store.held_rows(candidates.items)
        rows[~held] = self._bundled[candidates.items[~held]]
        candidates.rows = rows
        return np.ones(len(candidates), dtype=np.bool_)
