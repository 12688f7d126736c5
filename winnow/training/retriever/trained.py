"""A trained retriever: its settings, its weights, and its answers for moments of the log."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from winnow.features.table import FeatureSet, Interactions
from winnow.features.targets import newest_of_users
from winnow.models.towers import ItemTower, Shapes, UserTower
from winnow.ranking.metrics import ndcg
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
        tensors = {"item_vectors": self.item_vectors}
        for name, tower in (("item_tower", self.item_tower), ("user_tower", self.user_tower)):
            tensors |= {f"{name}.{part}": tensor for part, tensor in tower.state_dict().items()}
        weights.save(folder, _Described(shapes=self.shapes, settings=self.settings), tensors)

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
    size, length = settings.dimension, settings.history_length
    item_tower = ItemTower(shapes, size, settings.id_dropout, settings.content_dropout)
    return item_tower, UserTower(shapes, size, settings.layers, settings.heads, length, settings.dropout)


def validation_rows(
    log: Interactions, values: NDArray[np.float32], until: NDArray[np.int64], limit: int
) -> NDArray[np.int64]:
    """The moments that a validation asks: each user's newest target that is withheld and not refused.

    Args:
        log: the interactions.
        values: float32 [events], :func:`winnow.features.targets.target_values`.
        until: int64 [users], the row of each user after which events are withheld.
        limit: moments at most; more are drawn from at random, the same for the same log.

    Returns:
        int64 [<= limit], rows of the log, each after at least one event of its user.
    """
    user, row = log.user, np.arange(len(values))
    newest = newest_of_users(log, (values > 0) & (row >= until[user]) & (row > log.offsets[user]))
    rows = newest[newest >= 0]
    return rows if len(rows) <= limit else np.sort(np.random.default_rng(0).choice(rows, limit, replace=False))


def validate(model: TrainedRetriever, features: FeatureSet, rows: NDArray[np.int64]) -> float:
    """ndcg@10 of the item of each of ``rows`` (:func:`validation_rows`) given the events before it.

    The whole catalog is ranked, without the seen items unless repeats are allowed.
    """
    log = features.interactions
    if not len(rows):
        return 0.0
    users = log.user_of(rows)
    vectors = model.user_vectors(features, users, rows)
    items = model.item_vectors.numpy()
    top = np.zeros((len(rows), 10), np.int32)
    for position, (user, row) in enumerate(zip(users.tolist(), rows.tolist(), strict=True)):
        scores = items @ vectors[position]
        if features.schema.repeats != "allow":
            scores[log.item[log.offsets[user] : row]] = -np.inf
        scores[0] = -np.inf
        best = np.argpartition(-scores, 10)[:10] if len(scores) > 10 else np.arange(len(scores))
        best = best[np.argsort(-scores[best], kind="stable")]
        top[position, : len(best)] = best
    return ndcg(top, log.item[rows], 10)
