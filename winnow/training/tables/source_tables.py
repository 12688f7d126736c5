"""The tables of the candidate sources that are fitted rather than learned: an artefact of training, served as it is."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from winnow.features.table import FeatureSet
from winnow.features.targets import event_values
from winnow.schema import NUMERIC_FEATURES
from winnow.settings.training import CovisitationSettings, PopularitySettings
from winnow.training.tables.covisitation import covisitation_table

_FOLDER = "sources"
"""Inside the retriever's folder."""


@dataclass(frozen=True)
class SourceTables:
    """The tables, named like the release's arrays.

    Attributes:
        neighbours: int32 [n + 1, M], the strongest neighbours of every item, best first, padded with 0.
        neighbour_weights: float32 [n + 1, M].
        popular: int32 [<= limit], items by their popularity of the last week, best first.
    """

    neighbours: NDArray[np.int32]
    neighbour_weights: NDArray[np.float32]
    popular: NDArray[np.int32]

    @classmethod
    def fit(
        cls, features: FeatureSet, covisitation: CovisitationSettings, popularity: PopularitySettings
    ) -> "SourceTables":
        """Fit the tables to the whole log.

        Args:
            features: the feature set.
            covisitation: of the item-to-item table.
            popularity: of the list of popular items.
        """
        log = features.interactions
        values = event_values(log, features.schema)
        neighbours, weights = covisitation_table(log, values, log.offsets[1:], features.items, covisitation)
        return cls(neighbours, weights, popular_items(features, popularity.items))

    def save(self, retriever: Path) -> None:
        """Write the tables beside the retriever's weights."""
        folder = retriever / _FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        for name, array in self.arrays().items():
            np.save(folder / f"{name}.npy", array, allow_pickle=False)

    @classmethod
    def load(cls, retriever: Path) -> "SourceTables":
        """Map what :meth:`save` wrote into memory, read-only."""
        folder = retriever / _FOLDER
        return cls(*(np.load(folder / f"{table.name}.npy", "r", allow_pickle=False) for table in fields(cls)))

    def arrays(self) -> dict[str, NDArray[np.int32] | NDArray[np.float32]]:
        """Name -> array, as the release has them."""
        return {table.name: getattr(self, table.name) for table in fields(self)}


def popular_items(features: FeatureSet, limit: int) -> NDArray[np.int32]:
    """Items by their popularity of the last week, best first (ties: the smaller index first).

    Args:
        features: the feature set.
        limit: items at most.
    """
    popularity = features.item_rows["numeric"][1:, NUMERIC_FEATURES.index("popularity_7d")]
    return (np.argsort(-popularity, kind="stable")[:limit] + 1).astype(np.int32)
