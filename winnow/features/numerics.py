"""Numeric item features as they stood at any moment: what changes with time, then what was declared."""

from types import TracebackType

import ibis
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from winnow.features.popularity import popularity_at
from winnow.features.row import log_age
from winnow.features.schema import NUMERIC_FEATURES, POPULARITY_FEATURES

__all__ = ["NUMERIC_FEATURES", "ItemNumerics"]


class ItemNumerics:
    """Answers "what were this item's numbers just before that time?", for training and for the served rows alike.

    Args:
        events: columns ``position``, ``item``, ``timestamp``, ``weight`` as :func:`popularity_at` wants them.
        created_at: int64 [n + 1] ms, 0 where unknown.
        declared: float32 [n + 1, D], numbers that do not change with time.
    """

    def __init__(self, events: pa.Table, created_at: NDArray[np.int64], declared: NDArray[np.float32]) -> None:
        self._engine = ibis.duckdb.connect()
        self._events = self._engine.create_table("log", events)
        self._reference = int(max(events["timestamp"].to_numpy().max(initial=0), 0))
        self._created_at = created_at
        self._declared = declared

    def __enter__(self) -> "ItemNumerics":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._engine.disconnect()

    def at(self, items: NDArray[np.int32], timestamps: NDArray[np.int64]) -> NDArray[np.float32]:
        """Numeric features of ``items[j]`` from everything strictly before ``timestamps[j]`` (ms).

        Args:
            items: int32 [k]; 0 gives a row of zeros.
            timestamps: int64 [k].

        Returns:
            float32 [k, 5 + D], columns as :data:`NUMERIC_FEATURES` and then the declared ones.
        """
        # Lists of candidates ask for the same item at the same moment again and again.
        pairs, inverse = np.unique(np.stack([items.astype(np.int64), timestamps]), axis=1, return_inverse=True)
        moments = pa.table(
            {"moment": np.arange(pairs.shape[1]), "item": pairs[0].astype(np.int32), "timestamp": pairs[1]}
        )
        asked = self._engine.create_table("moments", moments, overwrite=True)
        answer = popularity_at(self._events, asked, len(self._created_at) - 1, self._reference)
        table = self._engine.to_pyarrow(answer)
        moving = np.stack([table[name].to_numpy() for name in POPULARITY_FEATURES], axis=1)[inverse]
        age = log_age(self._created_at[items], timestamps)
        numerics = np.concatenate([moving, age[:, None], self._declared[items]], axis=1).astype(np.float32)
        numerics[items == 0] = 0.0
        return numerics
