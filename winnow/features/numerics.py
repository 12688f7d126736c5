"""Numeric item features at any moment: those that change with time, then the declared ones."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from winnow.features.popularity import SUMS
from winnow.features.row import log_age
from winnow.features.segments import first_after
from winnow.schema import DAY_MS, HALF_LIVES, NUMERIC_FEATURES, POPULARITY_FEATURES

_FOLDER = "numerics"
"""Inside the feature set's folder."""

_ARRAYS = ("offsets", "timestamp", "created_at", "declared")


@dataclass(frozen=True)
class ItemNumerics:
    """The numbers of items just before given moments, for training and for the served rows.

    Attributes:
        offsets: int64 [n + 2], item ``i`` has the rows ``offsets[i]:offsets[i + 1]``; item 0 stands for all items.
        timestamp: int64 [rows] ms, ascending within an item.
        sums: :data:`winnow.features.popularity.SUMS`, float64 [rows] each, just after ``timestamp``.
        created_at: int64 [n + 1] ms, 0 where unknown.
        declared: float32 [n + 1, D], numbers that do not change with time.
    """

    offsets: NDArray[np.int64]
    timestamp: NDArray[np.int64]
    sums: dict[str, NDArray[np.float64]]
    created_at: NDArray[np.int64]
    declared: NDArray[np.float32]

    @classmethod
    def of(cls, popularity: pa.Table, created_at: NDArray[np.int64], declared: NDArray[np.float32]) -> "ItemNumerics":
        """The numbers from a log.

        Args:
            popularity: the table of :func:`winnow.features.popularity.popularity_after`, by item and time.
            created_at: int64 [n + 1] ms, 0 where unknown.
            declared: float32 [n + 1, D].
        """
        return cls(
            offsets=np.searchsorted(popularity["item"].to_numpy(), np.arange(len(created_at) + 1)),
            timestamp=popularity["timestamp"].to_numpy(),
            sums={name: popularity[name].to_numpy() for name in SUMS},
            created_at=created_at,
            declared=declared,
        )

    def save(self, features: Path) -> None:
        """Write the numbers beside a feature set."""
        folder = features / _FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        for name, array in ({part: getattr(self, part) for part in _ARRAYS} | self.sums).items():
            np.save(folder / f"{name}.npy", array, allow_pickle=False)

    @classmethod
    def load(cls, features: Path) -> "ItemNumerics":
        """Map what :meth:`save` wrote into memory, read-only."""

        def array(name: str) -> NDArray[Any]:
            loaded: NDArray[Any] = np.load(features / _FOLDER / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            return loaded

        return cls(sums={name: array(name) for name in SUMS}, **{part: array(part) for part in _ARRAYS})

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
        count = len(self.created_at) - 1
        moments, moment = np.unique(timestamps, return_inverse=True)
        of_all = {
            name: numbers[moment] for name, numbers in self._before(np.zeros(len(moments), np.int32), moments).items()
        }
        own = self._before(items, timestamps)
        moving = {
            name: np.log((own[name] + 1.0) / (of_all[name] + count) * count) for name in (*HALF_LIVES, "popularity")
        }
        # Divided by the number of all events: an item may have negative ones only.
        average = of_all["weight"] / np.maximum(of_all["events"], 1.0)
        moving["mean_weight"] = (own["weight"] + 10.0 * average) / (own["events"] + 10.0)
        numerics = np.empty((len(items), len(NUMERIC_FEATURES) + self.declared.shape[1]), np.float32)
        for column, name in enumerate(POPULARITY_FEATURES):
            numerics[:, column] = moving[name]
        numerics[:, len(POPULARITY_FEATURES)] = log_age(self.created_at[items], timestamps)
        numerics[:, len(NUMERIC_FEATURES) :] = self.declared[items]
        numerics[items == 0] = 0.0
        return numerics

    def _before(self, items: NDArray[np.int32], timestamps: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        """The sums of each item (0: of all items) strictly before each moment, decayed to it."""
        begin = self.offsets[items]
        last = first_after(self.timestamp, begin, self.offsets[items + 1], timestamps - 1) - 1
        some = np.flatnonzero(last >= begin)
        sums = {name: np.zeros(len(items)) for name in SUMS}
        for name, numbers in sums.items():
            numbers[some] = self.sums[name][last[some]]
        age = np.zeros(len(items))
        age[some] = (timestamps[some] - self.timestamp[last[some]]) / DAY_MS
        return sums | {name: sums[name] * 2.0 ** -(age / half_life) for name, half_life in HALF_LIVES.items()}
