"""A trained retriever: how it was trained, its weights, and its answers for moments of the log."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from winnow.features.table import FeatureSet
from winnow.metrics import ndcg
from winnow.models.towers import ItemTower, Shapes, UserTower
from winnow.retrieval.history import assemble_many

VALIDATION_USERS = 5000


class RetrieverSettings(BaseModel):
    """How the retriever is built and trained.

    Attributes:
        dimension: width of item and user vectors.
        layers: transformer layers of the user tower.
        heads: attention heads per layer.
        history_length: ``L``, events of a history.
        dropout: in the user tower.
        id_dropout: share of item ids hidden in a training step, so that the rest of the tower can stand for them.
        content_dropout: share of items that a training step takes for strangers: no id, and half of their content.
        learning_rate: peak of AdamW's, after a short warm-up.
        batch: windows per step.
        windows: training windows after which the rehearsal ends at the latest, counted over all epochs; the bound that
            keeps the time the same for logs of all sizes.
        max_epochs: epochs after which the rehearsal ends at the latest.
        patience: validations without improvement after which it ends; there is one every second epoch.
        unrehearsed: epochs of the served model where the log is too short for a rehearsal.
        steps: of an epoch, about, where the log has fewer than half as many: it is gone through several times in each.
        withheld: newest events per user that the rehearsal does not learn from (at most a quarter of the user's).
        full_softmax_items: catalogs up to this size are scored whole in training, larger ones are sampled.
        negatives: sampled negatives per step, for larger catalogs.
        seed: of everything random.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dimension: int = 64
    layers: int = 2
    heads: int = 2
    history_length: int = 50
    dropout: float = 0.2
    id_dropout: float = 0.1
    content_dropout: float = 0.1
    learning_rate: float = 4e-3
    batch: int = 32
    windows: int = 30_000
    max_epochs: int = 40
    patience: int = 3
    unrehearsed: int = 8
    steps: int = 10
    withheld: int = 8
    full_softmax_items: int = 20_000
    negatives: int = 2_000
    seed: int = 0


@dataclass(frozen=True)
class TrainedRetriever:
    """A trained retriever.

    Attributes:
        shapes: sizes that the feature set fixed.
        settings: how it was trained.
        item_tower: of evaluation mode.
        user_tower: of evaluation mode.
        item_vectors: float32 [n + 1, D], unit length; row 0 is zero.
    """

    shapes: Shapes
    settings: RetrieverSettings
    item_tower: ItemTower
    user_tower: UserTower
    item_vectors: Tensor

    def save(self, folder: Path) -> None:
        """Write ``weights.pt`` and ``settings.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        towers = {"item_tower": self.item_tower.state_dict(), "user_tower": self.user_tower.state_dict()}
        torch.save(towers | {"item_vectors": self.item_vectors}, folder / "weights.pt")
        described = {"shapes": self.shapes.model_dump(), "settings": self.settings.model_dump()}
        (folder / "settings.json").write_text(json.dumps(described, indent=1))

    @classmethod
    def load(cls, folder: Path) -> "TrainedRetriever":
        """Read what :meth:`save` wrote."""
        described = json.loads((folder / "settings.json").read_text())
        weights = torch.load(folder / "weights.pt", weights_only=True)
        shapes = Shapes.model_validate(described["shapes"])
        settings = RetrieverSettings.model_validate(described["settings"])
        item_tower, user_tower = build_towers(shapes, settings)
        item_tower.load_state_dict(weights["item_tower"])
        user_tower.load_state_dict(weights["user_tower"])
        return cls(shapes, settings, item_tower.eval(), user_tower.eval(), weights["item_vectors"])

    @torch.no_grad()
    def user_vectors(
        self, features: FeatureSet, users: NDArray[np.int64], ends: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """What users want after the events before row ``ends`` of the log.

        Args:
            features: the set that the retriever was trained on.
            users: int64 [B].
            ends: int64 [B], the row after the newest event of each history.

        Returns:
            float32 [B, D]; the product with an item's vector is the item's score.
        """
        log = features.interactions
        answers = []
        for part in np.array_split(np.arange(len(users)), max(1, len(users) // 256)):
            starts, length = log.offsets[users[part]], self.settings.history_length
            history = assemble_many(log.item, log.event, log.timestamp, starts, ends[part], length)
            items, events, gaps = (torch.from_numpy(array) for array in history)
            rows = features.user_rows[users[part]]
            categorical, numeric = (torch.from_numpy(np.ascontiguousarray(rows[k])) for k in ("categorical", "numeric"))
            wanted = self.user_tower(items, self.item_vectors[items], events, gaps, categorical, numeric)
            answers.append(wanted[:, -1].numpy())
        return np.concatenate(answers)


def build_towers(shapes: Shapes, settings: RetrieverSettings) -> tuple[ItemTower, UserTower]:
    """Towers of these sizes, not trained."""
    size, length = settings.dimension, settings.history_length
    item_tower = ItemTower(shapes, size, settings.id_dropout, settings.content_dropout)
    return item_tower, UserTower(shapes, size, settings.layers, settings.heads, length, settings.dropout)


def validate(model: TrainedRetriever, features: FeatureSet) -> float:
    """ndcg@10 of each user's newest event given the ones before it, over the whole catalog less what was met before."""
    log = features.interactions
    ends = log.offsets[1:] - 1
    users = np.flatnonzero(np.diff(log.offsets) > 1)
    if len(users) > VALIDATION_USERS:
        users = np.sort(np.random.default_rng(0).choice(users, VALIDATION_USERS, replace=False))
    if not len(users):
        return 0.0
    vectors = model.user_vectors(features, users, ends[users])
    items = model.item_vectors.numpy()
    top = np.zeros((len(users), 10), np.int32)
    for position, user in enumerate(users):
        scores = items @ vectors[position]
        scores[log.item[log.offsets[user] : ends[user]]] = -np.inf
        scores[0] = -np.inf
        best = np.argpartition(-scores, 10)[:10] if len(scores) > 10 else np.arange(len(scores))
        best = best[np.argsort(-scores[best], kind="stable")]
        top[position, : len(best)] = best
    return ndcg(top, log.item[ends[users]], 10)
