"""The models of a release on a new catalog: rows of items and of categorical values move to where they are now.

Items may have been added, removed or reordered, and vocabularies are ordered by frequency, so rows are found by id and
by value. A row that the release does not have is zero: a new item then has the vector that its content gives, as a new
item of the running release has, and a new value adds nothing, as an unknown one.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor

from winnow.arrays.strings import Strings
from winnow.features.table import FeatureSet
from winnow.models.affinity import HistoryAffinity
from winnow.models.ranker import ServedRanker
from winnow.models.towers import ItemTower, Shapes, UserTower
from winnow.release import Release
from winnow.schema import Feature
from winnow.training.incremental.state import TrainingState
from winnow.training.ranker.trained import TrainedRanker
from winnow.training.retriever.trained import TrainedRetriever, build_towers

UNKNOWN = -1
"""In place of a row that the release does not have."""


Names = Sequence[str] | Strings | NDArray[np.str_]


def places(new: Names, old: Names) -> NDArray[np.int64]:
    """The position in ``old`` of each string of ``new``, :data:`UNKNOWN` where it is not there: int64 [len(new)]."""
    found = pc.fill_null(pc.index_in(_values(new), _values(old)), UNKNOWN)
    positions: NDArray[np.int64] = found.to_numpy(zero_copy_only=False).astype(np.int64)
    return positions


def _values(strings: Names) -> pa.Array:
    return pa.array(strings.tolist() if isinstance(strings, Strings) else strings, pa.large_string())


def item_places(features: FeatureSet, release: Release) -> NDArray[np.int64]:
    """The row that each item has in the release: int64 [n + 1], :data:`UNKNOWN` for new items."""
    return places(features.item_ids, release.strings("item_ids"))


def events_before(features: FeatureSet, release: Release) -> NDArray[np.int64]:
    """The number of events that each user has in the release's log: int64 [users], 0 for new users."""
    rows = places(features.user_ids, release.array("user_ids"))
    counts: NDArray[np.int64] = np.where(rows == UNKNOWN, 0, np.diff(release.array("offsets"))[rows])
    return counts


def towers(trained: TrainedRetriever, release: Release, features: FeatureSet) -> tuple[ItemTower, UserTower]:
    """The towers of a fit that a release keeps, on the catalog of ``features``."""
    shapes = Shapes.of(features)
    item_tower, user_tower = build_towers(shapes, trained.settings)
    rows = item_places(features, release)
    # The id of an item without events was not learned.
    learned = np.bincount(release.array("item"), minlength=len(release.strings("item_ids"))) > 0
    rows[(rows != UNKNOWN) & ~learned[rows]] = UNKNOWN
    weights = trained.item_tower.state_dict()
    weights["identity.weight"] = moved(weights["identity.weight"], rows)
    weights["categories.embedding.weight"] = moved(
        weights["categories.embedding.weight"], _code_rows(features.schema.item, "", features, release)
    )
    item_tower.load_state_dict(weights)
    weights = trained.user_tower.state_dict()
    weights["traits.embedding.weight"] = moved(
        weights["traits.embedding.weight"], _code_rows(features.schema.user, "user_", features, release)
    )
    user_tower.load_state_dict(weights)
    return item_tower.eval(), user_tower.eval()


def ranker(state: TrainingState, release: Release, features: FeatureSet, item_vectors: Tensor) -> ServedRanker:
    """The release's ranker on the catalog of ``features``.

    Args:
        state: of the release.
        release: the release.
        features: the new feature set.
        item_vectors: float32 [n + 1, D], of the retriever that the ranker is trained with.
    """
    trained: TrainedRanker = state.ranker
    shapes = Shapes.of(features)
    affinity = HistoryAffinity.of(features.item_rows, features.schema.item[0].cardinality, shapes.events)
    settings = trained.settings
    model = ServedRanker(
        shapes,
        trained.numerics,
        item_vectors,
        affinity,
        trained.history_length,
        settings.width,
        settings.dropout,
        trained.conversions,
    )
    weights = trained.model.state_dict()
    for name, of_catalog in model.state_dict().items():
        if name == "item_vectors" or name.startswith("affinity."):
            weights[name] = of_catalog
    for name, kind, prefix in (("categories", features.schema.item, ""), ("traits", features.schema.user, "user_")):
        table = f"{name}.embedding.weight"
        weights[table] = moved(weights[table], _code_rows(kind, prefix, features, release))
    model.load_state_dict(weights)
    return model.eval()


def moved(weights: Tensor, rows: NDArray[np.int64]) -> Tensor:
    """Rows of a table in a new order.

    Args:
        weights: float32 [n, D].
        rows: int64 [m], the old row of every new one, :data:`UNKNOWN` for a row of zeros.

    Returns:
        float32 [m, D].
    """
    found = weights[torch.from_numpy(np.maximum(rows, 0))]
    return found * torch.from_numpy(rows != UNKNOWN).unsqueeze(1)


def _code_rows(columns: tuple[Feature, ...], prefix: str, features: FeatureSet, release: Release) -> NDArray[np.int64]:
    """The old row of every row of a :class:`winnow.models.towers.CodeEmbedding`: of its tables, and one more."""
    parts, start = [], 0
    for name in (f"{prefix}{column.name}" for column in columns if column.kind == "categorical"):
        before: Mapping[str, list[str]] = release.vocabularies
        found = places(features.vocabularies[name], before[name])
        parts.append(np.where(found == UNKNOWN, UNKNOWN, found + start))
        start += len(before[name])
    return np.concatenate([*parts, np.array([start], np.int64)])
