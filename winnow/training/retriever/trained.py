"""A trained retriever: its settings, its weights, and its answers for moments of the log."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from winnow.features.table import FeatureSet
from winnow.models.towers import ItemTower, Shapes, UserTower
from winnow.retrieval.history import assemble_many
from winnow.settings.training import RetrieverSettings
from winnow.training.loop import weights


class _Described(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    shapes: Shapes
    settings: RetrieverSettings


@dataclass(frozen=True)
class TrainedRetriever:
    """A trained retriever.

    Attributes:
        shapes: sizes that the feature set fixed.
        settings: how it was trained.
        item_tower: in evaluation mode.
        user_tower: in evaluation mode.
        item_vectors: float32 [n + 1, D], unit length; row 0 is zero.
    """

    shapes: Shapes
    settings: RetrieverSettings
    item_tower: ItemTower
    user_tower: UserTower
    item_vectors: Tensor

    def save(self, folder: Path) -> None:
        """Write weights and settings."""
        described = _Described(shapes=self.shapes, settings=self.settings)
        weights.save(folder, described, {"item_vectors": self.item_vectors, **self.weights()})

    def weights(self) -> dict[str, Tensor]:
        """The weights of both towers, by name."""
        towers = {"item_tower": self.item_tower, "user_tower": self.user_tower}
        return {f"{name}.{part}": w for name, tower in towers.items() for part, w in tower.state_dict().items()}

    @classmethod
    def load(cls, folder: Path) -> "TrainedRetriever":
        """Read what :meth:`save` wrote."""
        described, tensors = weights.load(folder, _Described)
        item_tower, user_tower = build_towers(described.shapes, described.settings)
        item_tower.load_state_dict(weights.under("item_tower", tensors))
        user_tower.load_state_dict(weights.under("user_tower", tensors))
        return cls(described.shapes, described.settings, item_tower.eval(), user_tower.eval(), tensors["item_vectors"])

    @torch.no_grad()
    def user_vectors(
        self, features: FeatureSet, users: NDArray[np.int64], ends: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """The vectors of users after the events before row ``ends`` of the log.

        Args:
            features: the set that the retriever was trained on.
            users: int64 [B].
            ends: int64 [B], the row after the newest event of each history.

        Returns:
            float32 [B, D]; the product with an item's vector is the item's score.
        """
        log = features.interactions
        vectors = []
        for part in np.array_split(np.arange(len(users)), max(1, len(users) // 256)):
            starts, length = log.offsets[users[part]], self.settings.history_length
            history = assemble_many(log.item, log.event, log.timestamp, starts, ends[part], length)
            items, events, gaps = (torch.from_numpy(array) for array in history)
            rows = features.user_rows[users[part]]
            categorical, numeric = (torch.from_numpy(np.ascontiguousarray(rows[k])) for k in ("categorical", "numeric"))
            after_each = self.user_tower(items, self.item_vectors[items], events, gaps, categorical, numeric)
            vectors.append(after_each[:, -1].numpy())
        return np.concatenate(vectors)


def build_towers(shapes: Shapes, settings: RetrieverSettings) -> tuple[ItemTower, UserTower]:
    """Towers of these sizes, not trained."""
    size, length, dropout = settings.dimension, settings.history_length, settings.dropout or 0.0
    item_tower = ItemTower(shapes, size, settings.id_dropout, settings.content_dropout)
    return item_tower, UserTower(shapes, size, settings.layers, settings.heads, length, dropout)
