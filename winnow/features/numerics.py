"""Numeric item features at any moment: those that change with time, then the declared ones."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from winnow.features.popularity import SUMS
from winnow.features.row import log_age
from winnow.schema import DAY_MS, HALF_LIVES, POPULARITY_FEATURES


class ItemNumerics:
    """The numbers of items just before given moments, for training and for the served rows.

    Args:
        popularity: the table of :func:`winnow.features.popularity.popularity_after`, in any order.
        created_at: int64 [n + 1] ms, 0 where unknown.
        declared: float32 [n + 1, D], numbers that do not change with time.
    """

    def __init__(self, popularity: pa.Table, created_at: NDArray[np.int64], declared: NDArray[np.float32]) -> None:
        item, time = popularity["item"].to_numpy().astype(np.int64), popularity["timestamp"].to_numpy()
        self._times = np.unique(time)
        # Item and time as one sorted key, so that the last row of an item before a moment is one binary search.
        key = item * (len(self._times) + 1) + np.searchsorted(self._times, time) + 1
        order = np.argsort(key)
        self._keys, self._time = key[order], time[order]
        self._sums = np.stack([popularity[name].to_numpy()[order] for name in SUMS], axis=1)
        self._created_at = created_at
        self._declared = declared

    def at(self, items: NDArray[np.int32], timestamps: NDArray[np.int64]) -> NDArray[np.float32]:
        """Numeric features of ``items[j]`` from events strictly before ``timestamps[j]`` (ms).

        ``popularity*`` is the logarithm of the item's share of all (faded) events of positive value relative to the
        average item's, smoothed by one event, so it does not drift as the log grows; ``mean_weight`` is the mean value
        of the item's events of every type, smoothed by ten average ones.

        Args:
            items: int32 [k]; 0 gives a row of zeros.
            timestamps: int64 [k].

        Returns:
            float32 [k, 5 + D], columns as :data:`winnow.schema.NUMERIC_FEATURES` and then the declared ones.
        """
        count = len(self._created_at) - 1
        own, of_all = self._before(items, timestamps), self._before(np.zeros_like(items), timestamps)
        moving = {
            name: np.log((own[name] + 1.0) / (of_all[name] + count) * count) for name in (*HALF_LIVES, "popularity")
        }
        # Divided by the number of all events: an item may have negative ones only.
        average = of_all["weight"] / np.maximum(of_all["events"], 1.0)
        moving["mean_weight"] = (own["weight"] + 10.0 * average) / (own["events"] + 10.0)
        age = log_age(self._created_at[items], timestamps)
        columns = [moving[name] for name in POPULARITY_FEATURES]
        numerics = np.concatenate([np.stack([*columns, age], axis=1), self._declared[items]], axis=1)
        numerics[items == 0] = 0.0
        return numerics.astype(np.float32)

    def _before(self, items: NDArray[np.int32], timestamps: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        """The sums of each item (0: of all items) strictly before each moment, decayed to it."""
        first = items.astype(np.int64) * (len(self._times) + 1)
        last = np.searchsorted(self._keys, first + np.searchsorted(self._times, timestamps), side="right") - 1
        none = (last < 0) | (self._keys[last] <= first)
        age = np.where(none, 0, timestamps - self._time[last]) / DAY_MS
        sums = dict(zip(SUMS, np.where(none[:, None], 0.0, self._sums[last]).T, strict=True))
        return sums | {name: sums[name] * 2.0 ** -(age / half_life) for name, half_life in HALF_LIVES.items()}
