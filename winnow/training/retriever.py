"""Training the retriever: a rehearsal that is judged, then the model that is served.

The rehearsal does not learn from each user's newest events. It says after how many epochs to stop, and its answers
for those withheld moments are as good as the served model's will be for moments to come: the ranker learns from them.
The served model goes on from the rehearsal with the whole log, so both speak of the same vector space.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from winnow.features.table import FeatureSet, Interactions
from winnow.models.served import HIDDEN
from winnow.models.towers import ItemInputs, ItemTower, Shapes, UserTower
from winnow.training.softmax import next_item_loss
from winnow.training.trained_retriever import RetrieverSettings, TrainedRetriever, build_towers, validate
from winnow.training.windows import Windows, epoch_windows, first_meetings


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
    windows = epoch_windows(log, until, fit.first, settings.history_length, np.random.default_rng(0))
    epochs = min(settings.max_epochs, max(4, settings.windows // max(1, len(windows.user))))
    if windows.target.any():
        rehearsal, best = fit.run(until, epochs, settings.patience, show_progress, "retriever (rehearsal)")
        # What is left to learn are the newest events; a third of the epochs again takes them in.
        epochs = max(2, best // 3)
    else:
        # Hardly anybody has met two items but for the newest: there is nothing to rehearse with.
        rehearsal, epochs = fit.snapshot(), settings.unrehearsed
    served, _ = fit.run(log.offsets[1:], epochs, None, show_progress, "retriever")
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
        self.towers = nn.ModuleList(build_towers(self.shapes, settings))
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
            for batch in self._batches(windows):
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

    def _batches(self, windows: Windows) -> Iterator[NDArray[np.int64]]:
        """Windows of one step each; a batch without a target is left out, for the mean over nothing is no number."""
        size, count = self.settings.batch, len(windows.user)
        targets = np.count_nonzero(windows.target, axis=1)
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
