"""Training of the retriever: a holdout fit that is validated, then the model that is served.

The holdout fit does not learn from each user's newest events. Its validation decides the number of epochs, and its
answers for the withheld moments are as good as the served model's for future moments: the ranker learns from them.
The served model continues from the holdout fit with the whole log, so both share one vector space.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import LinearLR
from tqdm import tqdm

from winnow.features.table import FeatureSet, Interactions
from winnow.features.targets import target_rows, target_values
from winnow.models.towers import ItemInputs, ItemTower, Shapes, UserTower
from winnow.ranking.context import HIDDEN
from winnow.settings.training import RetrieverSettings
from winnow.training.loop.running_mean import RunningMean
from winnow.training.retriever.loss import next_item_log_probability, value_weighted
from winnow.training.retriever.trained import TrainedRetriever, build_towers, validate, validation_rows
from winnow.training.retriever.windows import Windows, epoch_windows

_HOLDOUT_FIT = "holdout_fit"
"""The holdout fit's folder, inside the retriever's."""


@dataclass(frozen=True)
class RetrieverTraining:
    """The result of :func:`train_retriever`.

    Attributes:
        served: trained on the whole log.
        holdout_fit: trained without each user's newest events.
        until: int64 [users], the row of the log after the last that the holdout fit learned from.
    """

    served: TrainedRetriever
    holdout_fit: TrainedRetriever
    until: NDArray[np.int64]

    def save(self, folder: Path) -> None:
        """Write the served model into ``folder``, the holdout fit into ``folder/holdout_fit``."""
        self.served.save(folder)
        self.holdout_fit.save(folder / _HOLDOUT_FIT)
        np.save(folder / _HOLDOUT_FIT / "until.npy", self.until, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> "RetrieverTraining":
        """Read what :meth:`save` wrote."""
        until = np.load(folder / _HOLDOUT_FIT / "until.npy", allow_pickle=False)
        return cls(TrainedRetriever.load(folder), TrainedRetriever.load(folder / _HOLDOUT_FIT), until)


def train_retriever(features: FeatureSet, settings: RetrieverSettings, show_progress: bool) -> RetrieverTraining:
    """Train the holdout fit with early stopping on each user's newest target, then the served model on the whole log.

    Args:
        features: the feature set; its log does not contain the events held out for evaluation.
        settings: sizes and limits.
        show_progress: draw progress bars.
    """
    log = features.interactions
    until = withheld_until(log, settings.withheld)
    fit = _Fit(features, settings)
    windows = epoch_windows(log, until, fit.values, settings.history_length, np.random.default_rng(0))
    epochs = min(settings.max_epochs, max(4, settings.windows // max(1, len(windows.user))))
    if (windows.value > 0).any():
        holdout_fit, best = fit.run(until, epochs, settings.patience, show_progress, "retriever (holdout fit)")
        # Only the newest events are left to learn: a third of the epochs is enough for them.
        epochs = max(2, best // 3)
    else:
        # Without the withheld events no window has a target, such as where no user has two different items.
        holdout_fit, epochs = fit.snapshot(), settings.epochs_without_holdout
    served, _ = fit.run(log.offsets[1:], epochs, None, show_progress, "retriever")
    return RetrieverTraining(served, holdout_fit, until)


def withheld_until(log: Interactions, withheld: int) -> NDArray[np.int64]:
    """Row of each user after which events are withheld from the holdout fit: the newest, a quarter at most."""
    count = np.diff(log.offsets)
    until: NDArray[np.int64] = log.offsets[1:] - np.where(count > 1, np.clip(count // 4, 1, withheld), 0)
    return until


class _Fit:
    """The towers in training, and the running mean of their weights, which is what is used."""

    def __init__(self, features: FeatureSet, settings: RetrieverSettings) -> None:
        torch.manual_seed(settings.seed)
        self.features = features
        self.settings = settings
        self.shapes = Shapes.of(features)
        self.inputs = ItemInputs.of(features, self.shapes)
        self.rng = np.random.default_rng(settings.seed)
        self.values = target_values(features, target_rows(features))
        self.towers = nn.ModuleList(build_towers(self.shapes, settings))
        self.mean = RunningMean(self.towers)
        rows = features.user_rows
        self.user_categorical = torch.from_numpy(np.ascontiguousarray(rows["categorical"]))
        self.user_numeric = torch.from_numpy(np.ascontiguousarray(rows["numeric"]))
        count = np.bincount(features.interactions.item, minlength=features.items + 1)[1:]
        seen = count > 0
        # Never-seen items are excluded from the softmax: as negatives they would bias against new items.
        self.unseen = torch.from_numpy(np.where(seen, 0.0, HIDDEN)).float()
        self.sampling = torch.from_numpy(0.5 * count / count.sum() + 0.5 * seen / seen.sum()).float()

    def run(
        self, until: NDArray[np.int64], epochs: int, patience: int | None, show_progress: bool, name: str
    ) -> tuple[TrainedRetriever, int]:
        """Learn from the rows before ``until``; with a patience, keep the epoch that validates best.

        Returns:
            The model with the mean weights, and the number of epochs it took.
        """
        optimizer = self._optimizer()
        warm_up = self.settings.warm_up
        schedule = LinearLR(optimizer, start_factor=1 / warm_up, total_iters=warm_up - 1)
        self.mean = RunningMean(self.towers)
        log, limit = self.features.interactions, self.settings.validation_users
        asked = validation_rows(log, self.values, until, limit)
        best, best_score, best_epoch, since = self.snapshot(), -1.0, epochs, 0
        bar = tqdm(range(1, epochs + 1), desc=name, unit="epoch", disable=not show_progress)
        for epoch in bar:
            self.towers.train()
            windows = epoch_windows(
                self.features.interactions, until, self.values, self.settings.history_length, self.rng
            )
            for batch in self._batches(windows):
                loss = self._loss(windows, batch)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(self.towers.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                self.mean.update()
            if patience is None or epoch % 2:
                continue
            model = self.snapshot()
            score = validate(model, self.features, asked)
            bar.set_postfix({"ndcg@10": f"{score:.4f}"})
            since += 1
            if score > best_score:
                best, best_score, best_epoch, since = model, score, epoch, 0
            if since >= patience:
                break
        return (self.snapshot(), epochs) if patience is None else (best, best_epoch)

    def snapshot(self) -> TrainedRetriever:
        """The towers with their mean weights as they are now, and the vectors of all items."""
        item_tower, user_tower = self.mean.model()
        assert isinstance(item_tower, ItemTower)
        assert isinstance(user_tower, UserTower)
        with torch.no_grad():
            vectors = item_tower(torch.arange(self.shapes.items + 1), self.inputs)
            vectors[0] = 0.0
        return TrainedRetriever(self.shapes, self.settings, item_tower, user_tower, vectors)

    def _batches(self, windows: Windows) -> Iterator[NDArray[np.int64]]:
        """Windows of one step each; a batch without a positive target is left out: its mean loss is not a number."""
        size, count = self.settings.batch, len(windows.user)
        targets = np.count_nonzero(windows.value > 0, axis=1)
        for _ in range(max(1, self.settings.steps // max(1, -(-count // size)))):
            order = self.rng.permutation(count)
            for start in range(0, count, size):
                batch = order[start : start + size]
                if targets[batch].any():
                    yield batch

    def _loss(self, windows: Windows, batch: NDArray[np.int64]) -> Tensor:
        user = torch.from_numpy(windows.user[batch])
        items, events, gaps = (torch.from_numpy(array[batch]) for array in windows.history)
        target = torch.from_numpy(windows.target[batch]).long()
        learned = target > 0
        value = torch.from_numpy(windows.value[batch])[learned]
        item_tower, user_tower = self.towers
        if self.shapes.items <= self.settings.full_softmax_items:
            vectors = item_tower(torch.arange(self.shapes.items + 1), self.inputs)
            users = user_tower(
                items, vectors[items], events, gaps, self.user_categorical[user], self.user_numeric[user]
            )
            logits = users[learned] @ vectors[1:].T + self.unseen
            return value_weighted(-functional.cross_entropy(logits, target[learned] - 1, reduction="none"), value)
        negatives = torch.multinomial(self.sampling, self.settings.negatives, replacement=True) + 1
        needed, place = torch.unique(torch.cat([items.flatten(), target.flatten(), negatives]), return_inverse=True)
        vectors = item_tower(needed, self.inputs.take(needed))
        history_place, target_place, negative_place = place.split([items.numel(), items.numel(), len(negatives)])
        users = user_tower(
            items,
            vectors[history_place.view_as(items)],
            events,
            gaps,
            self.user_categorical[user],
            self.user_numeric[user],
        )
        found = next_item_log_probability(
            users[learned],
            vectors[target_place.view_as(items)[learned]],
            target[learned],
            vectors[negative_place],
            negatives,
            self.sampling[negatives - 1],
        )
        return value_weighted(found, value)

    def _optimizer(self) -> torch.optim.Optimizer:
        matrices = [p for p in self.towers.parameters() if p.ndim > 1]
        vectors = [p for p in self.towers.parameters() if p.ndim <= 1]
        groups = [
            {"params": matrices, "weight_decay": self.settings.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=self.settings.learning_rate, betas=(0.9, 0.98), fused=True)
