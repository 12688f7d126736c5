"""Training the retriever: a rehearsal that is judged, then the model that is served.

The rehearsal does not learn from each user's newest events. It says after how many epochs to stop, and its answers
for those withheld moments are as good as the served model's will be for moments to come: the ranker learns from them.
The served model goes on from the rehearsal with the whole log, so both speak of the same vector space.
"""

import copy
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from winnow.evaluation.metrics import ndcg
from winnow.features.table import FeatureSet, Interactions
from winnow.retrieval.history import assemble_many
from winnow.retrieval.served import HIDDEN
from winnow.retrieval.softmax import next_item_loss
from winnow.retrieval.towers import ItemInputs, ItemTower, Shapes, UserTower
from winnow.retrieval.windows import Windows, epoch_windows, first_meetings

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
        item_tower, user_tower = _towers(shapes, settings)
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


@dataclass(frozen=True)
class RetrieverTraining:
    """What :func:`train_retriever` gives.

    Attributes:
        served: trained on the whole log.
        rehearsal: trained without each user's newest events.
        until: int64 [users], the row of the log after the last that the rehearsal learned from.
    """

    served: TrainedRetriever
    rehearsal: TrainedRetriever
    until: NDArray[np.int64]

    def save(self, folder: Path) -> None:
        """Write the served model into ``folder``, the rehearsal into ``folder/rehearsal``."""
        self.served.save(folder)
        self.rehearsal.save(folder / "rehearsal")
        np.save(folder / "rehearsal" / "until.npy", self.until, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> "RetrieverTraining":
        """Read what :meth:`save` wrote."""
        until = np.load(folder / "rehearsal" / "until.npy", allow_pickle=False)
        return cls(TrainedRetriever.load(folder), TrainedRetriever.load(folder / "rehearsal"), until)


def train_retriever(features: FeatureSet, settings: RetrieverSettings, show_progress: bool) -> RetrieverTraining:
    """Train the rehearsal with early stopping on each user's newest event, then the served model on everything.

    Args:
        features: the feature set; whatever is held out for evaluation is not in its log.
        settings: sizes and limits.
        show_progress: draw progress bars.
    """
    log = features.interactions
    until = withheld_until(log, settings.withheld)
    fit = _Fit(features, settings)
    per_epoch = len(epoch_windows(log, until, fit.first, settings.history_length, np.random.default_rng(0)).user)
    epochs = min(settings.max_epochs, max(4, settings.windows // max(1, per_epoch)))
    rehearsal, best = fit.run(until, epochs, settings.patience, show_progress, "retriever (rehearsal)")
    # What is left to learn are the newest events; a third of the epochs again takes them in.
    served, _ = fit.run(log.offsets[1:], max(2, best // 3), None, show_progress, "retriever")
    return RetrieverTraining(served, rehearsal, until)


def withheld_until(log: Interactions, withheld: int) -> NDArray[np.int64]:
    """Row of each user after which events are withheld from the rehearsal: the newest ones, a quarter at most."""
    count = np.diff(log.offsets)
    until: NDArray[np.int64] = log.offsets[1:] - np.where(count > 1, np.clip(count // 4, 1, withheld), 0)
    return until


class _Fit:
    """The towers being trained and the smoothed copy that is used: an exponential mean of the weights over steps."""

    def __init__(self, features: FeatureSet, settings: RetrieverSettings) -> None:
        torch.manual_seed(settings.seed)
        self.features = features
        self.settings = settings
        self.shapes = Shapes.of(features)
        self.inputs = ItemInputs.of(features, self.shapes)
        self.rng = np.random.default_rng(settings.seed)
        self.first = first_meetings(features.interactions)
        self.towers = nn.ModuleList(_towers(self.shapes, settings))
        self.smooth = copy.deepcopy(self.towers)
        rows = features.user_rows
        self.user_categorical = torch.from_numpy(np.ascontiguousarray(rows["categorical"]))
        self.user_numeric = torch.from_numpy(np.ascontiguousarray(rows["numeric"]))
        count = np.bincount(features.interactions.item, minlength=features.items + 1)[1:]
        met = count > 0
        # What nobody could meet is not what everybody declined: it would teach that new things are unwanted.
        self.unmet = torch.from_numpy(np.where(met, 0.0, HIDDEN)).float()
        self.sampling = torch.from_numpy(0.5 * count / count.sum() + 0.5 * met / met.sum()).float()

    def run(
        self, until: NDArray[np.int64], epochs: int, patience: int | None, show_progress: bool, name: str
    ) -> tuple[TrainedRetriever, int]:
        """Learn from the rows before ``until``; with a patience, keep the epoch that validates best.

        Returns:
            The smoothed model and the number of epochs it took.
        """
        optimizer = self._optimizer()
        best, best_score, since = self.snapshot(), -1.0, 0
        best_epoch, step = epochs, 0
        bar = tqdm(range(1, epochs + 1), desc=name, unit="epoch", disable=not show_progress)
        for epoch in bar:
            self.towers.train()
            windows = epoch_windows(
                self.features.interactions, until, self.first, self.settings.history_length, self.rng
            )
            for batch in self._batches(len(windows.user)):
                step += 1
                for group in optimizer.param_groups:
                    group["lr"] = self.settings.learning_rate * min(1.0, step / 100)
                loss = self._loss(windows, batch)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(self.towers.parameters(), 1.0)
                optimizer.step()
                self._smooth(step)
            if patience is None or epoch % 2:
                continue
            model = self.snapshot()
            score = validate(model, self.features)
            bar.set_postfix({"ndcg@10": f"{score:.4f}"})
            since += 1
            if score > best_score:
                best, best_score, best_epoch, since = model, score, epoch, 0
            if since >= patience:
                break
        return (self.snapshot(), epochs) if patience is None else (best, best_epoch)

    def snapshot(self) -> TrainedRetriever:
        """The smoothed towers as they are now, and the vectors of all items."""
        item_tower, user_tower = copy.deepcopy(self.smooth).eval()
        assert isinstance(item_tower, ItemTower)
        assert isinstance(user_tower, UserTower)
        with torch.no_grad():
            vectors = item_tower(torch.arange(self.shapes.items + 1), self.inputs)
            vectors[0] = 0.0
        return TrainedRetriever(self.shapes, self.settings, item_tower, user_tower, vectors)

    def _batches(self, windows: int) -> list[NDArray[np.int64]]:
        order = self.rng.permutation(windows)
        return [order[start : start + self.settings.batch] for start in range(0, windows, self.settings.batch)]

    def _loss(self, windows: Windows, batch: NDArray[np.int64]) -> Tensor:
        user = torch.from_numpy(windows.user[batch])
        items, events, gaps = (torch.from_numpy(array[batch]) for array in windows.history)
        target = torch.from_numpy(windows.target[batch]).long()
        learned = target > 0
        item_tower, user_tower = self.towers
        if self.shapes.items <= self.settings.full_softmax_items:
            vectors = item_tower(torch.arange(self.shapes.items + 1), self.inputs)
            wanted = user_tower(
                items, vectors[items], events, gaps, self.user_categorical[user], self.user_numeric[user]
            )
            return functional.cross_entropy(wanted[learned] @ vectors[1:].T + self.unmet, target[learned] - 1)
        negatives = torch.multinomial(self.sampling, self.settings.negatives, replacement=True) + 1
        needed, place = torch.unique(torch.cat([items.flatten(), target.flatten(), negatives]), return_inverse=True)
        vectors = item_tower(needed, self.inputs.take(needed))
        history_place, target_place, negative_place = place.split([items.numel(), items.numel(), len(negatives)])
        wanted = user_tower(
            items,
            vectors[history_place.view_as(items)],
            events,
            gaps,
            self.user_categorical[user],
            self.user_numeric[user],
        )
        return next_item_loss(
            wanted[learned],
            vectors[target_place.view_as(items)[learned]],
            target[learned],
            vectors[negative_place],
            negatives,
            self.sampling[negatives - 1],
        )

    def _smooth(self, step: int) -> None:
        keep = min(0.99, step / (step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.smooth.parameters()), list(self.towers.parameters()), 1.0 - keep)

    def _optimizer(self) -> torch.optim.Optimizer:
        matrices = [p for p in self.towers.parameters() if p.ndim > 1]
        vectors = [p for p in self.towers.parameters() if p.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}]
        return torch.optim.AdamW(groups, lr=self.settings.learning_rate, betas=(0.9, 0.98), fused=True)


def _towers(shapes: Shapes, settings: RetrieverSettings) -> tuple[ItemTower, UserTower]:
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
