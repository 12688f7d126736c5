"""Reads the packed feature rows of the candidates."""

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.growing import GrowingArray
from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.query import Query
from recommender_transformer.funnel.stages import Result


class ItemRows:
    """Item rows from this process's cache; missing rows are read from Redis in one call.

    Args:
        store: reads the rows.
        bundled: the rows of the catalog, used if Redis is not available.
    """

    name = "item_rows"

    def __init__(self, store: OnlineStore, bundled: GrowingArray[np.void]) -> None:
        self._store = store
        self._bundled = bundled

    def hydrate(self, query: Query, candidates: Candidates) -> Result[NDArray[np.bool_]]:
        """Set the rows; false for items without a row in Redis, which must never get another item's row."""
        rows = self._store.cached_rows(candidates.items)
        if rows is None:
            return self._read(candidates)
        candidates.rows = rows
        return np.ones(len(candidates), dtype=np.bool_)

    async def _read(self, candidates: Candidates) -> NDArray[np.bool_]:
        candidates.rows, has_row = await self._store.item_rows(candidates.items)
        return has_row

    def fallback(self, query: Query, candidates: Candidates) -> NDArray[np.bool_]:
        """Cached rows, however old; otherwise those of the catalog."""
        rows, held = self._store.held_rows(candidates.items)
        rows[~held] = self._bundled.take(candidates.items[~held])
        candidates.rows = rows
        return np.ones(len(candidates), dtype=np.bool_)
