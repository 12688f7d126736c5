"""Training the ranker on the lists of :mod:`winnow.ranking.candidates`."""

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

from winnow.features.table import FeatureSet
from winnow.ranking.candidates import CandidateLists, NumericsAt, Sources, past_lists
from winnow.ranking.context import CONTEXT_FEATURES
from winnow.ranking.model import ServedRanker
from winnow.retrieval.history import assemble_many
from winnow.retrieval.towers import Shapes
from winnow.retrieval.train import RetrieverTraining


class RankerSettings(BaseModel):
    """How the ranker is built and trained.

    Attributes:
        width: of attention, crosses and projections.
        dropout: before the heads and in the deep part.
        learning_rate: of AdamW.
        batch: lists per step.
        epochs: at most.
        patience: epochs without a better likelihood of the validation lists after which training ends.
        lists: past moments at most.
        best: candidates of a list that are always kept: those that some source ranks highest.
        others: candidates kept of the rest, drawn at random and weighted to stand for all of it.
        heads_weight: weight of the heads' losses beside the listwise one.
        seed: of everything random.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = 32
    dropout: float = 0.2
    learning_rate: float = 2e-3
    batch: int = 32
    epochs: int = 5
    patience: int = 2
    lists: int = 6_000
    best: int = 48
    others: int = 48
    heads_weight: float = 0.2
    seed: int = 0


@dataclass(frozen=True)
class TrainedRanker:
    """A trained ranker.

    Attributes:
        shapes: sizes that the feature set fixed.
        settings: how it was trained.
        history_length: ``L``.
        numerics: ``M``, numeric columns of an item row.
        model: in evaluation mode, calibrated, holding the served retriever's item vectors.
    """

    shapes: Shapes
    settings: RankerSettings
    history_length: int
    numerics: int
    model: ServedRanker

    def save(self, folder: Path) -> None:
        """Write ``weights.pt`` and ``settings.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(self.model.state_dict(), folder / "weights.pt")
        described = {
            "shapes": self.shapes.model_dump(),
            "settings": self.settings.model_dump(),
            "history_length": self.history_length,
            "numerics": self.numerics,
        }
        (folder / "settings.json").write_text(json.dumps(described, indent=1))

    @classmethod
    def load(cls, folder: Path) -> "TrainedRanker":
        """Read what :meth:`save` wrote."""
        described = json.loads((folder / "settings.json").read_text())
        weights = torch.load(folder / "weights.pt", weights_only=True)
        shapes = Shapes.model_validate(described["shapes"])
        settings = RankerSettings.model_validate(described["settings"])
        length, numerics = described["history_length"], described["numerics"]
        model = ServedRanker(shapes, numerics, weights["item_vectors"], length, settings.width, settings.dropout)
        model.load_state_dict(weights)
        return cls(shapes, settings, length, numerics, model.eval())


def train_ranker(
    features: FeatureSet,
    retrieval: RetrieverTraining,
    numerics_at: NumericsAt,
    sources: Sources,
    settings: RankerSettings,
    show_progress: bool,
) -> TrainedRanker:
    """Train on past moments' candidate lists; stop early, and calibrate, on each user's newest one.

    Args:
        features: the feature set.
        retrieval: the trained retriever with its rehearsal.
        numerics_at: point-in-time item numerics.
        sources: how many candidates each source gives.
        settings: sizes and limits.
        show_progress: draw progress bars.
    """
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    log = features.interactions
    lists = past_lists(features, retrieval, numerics_at, sources, settings.lists, show_progress)
    newest = (lists.end == log.offsets[lists.user + 1] - 1) & (lists.history > 0)
    shapes, length = retrieval.served.shapes, retrieval.served.settings.history_length
    moments = _Moments(features, numerics_at, length)
    training = moments.tensors(lists.take(np.flatnonzero(~newest)), settings, rng)
    validation = moments.tensors(lists.take(np.flatnonzero(newest)), settings, rng)
    numerics = features.item_rows["numeric"].shape[1]
    vectors = retrieval.rehearsal.item_vectors
    model = ServedRanker(shapes, numerics, vectors, length, settings.width, settings.dropout)
    _standardise(model, training)
    model = _fit(model, training, validation, settings, rng, show_progress)
    _calibrate(model, validation)
    model.item_vectors.copy_(retrieval.served.item_vectors)
    return TrainedRanker(shapes, settings, length, numerics, model.eval())


@dataclass(frozen=True)
class Tensors:
    """Lists as the model reads them.

    Attributes:
        inputs: the wire contract's eight tensors, all over the same lists.
        weight: float32 [Q, N], how many candidates of the full list each one stands for; 0 for padding.
        target: int64 [Q].
        conversion: float32 [Q].
    """

    inputs: tuple[Tensor, ...]
    weight: Tensor
    target: Tensor
    conversion: Tensor

    def take(self, chosen: Tensor) -> "Tensors":
        """The chosen lists."""
        inputs = tuple(tensor[chosen] for tensor in self.inputs)
        return Tensors(inputs, self.weight[chosen], self.target[chosen], self.conversion[chosen])

    def __len__(self) -> int:
        return len(self.target)


class _Moments:
    """Turns candidate lists into tensors."""

    def __init__(self, features: FeatureSet, numerics_at: NumericsAt, length: int) -> None:
        self.features = features
        self.numerics_at = numerics_at
        self.length = length

    def tensors(self, lists: CandidateLists, settings: RankerSettings, rng: np.random.Generator) -> Tensors:
        log, rows = self.features.interactions, self.features.user_rows[lists.user]
        kept, weight = _thin(lists, settings.best, settings.others, rng)
        items = np.take_along_axis(lists.items, kept, 1)
        context = np.take_along_axis(lists.context, kept[:, :, None], 1)
        target = np.zeros_like(lists.target)
        times = np.repeat(log.timestamp[lists.end], items.shape[1])
        numeric = self.numerics_at(items.ravel(), times).reshape(*items.shape, -1)
        history = assemble_many(log.item, log.event, log.timestamp, lists.end - lists.history, lists.end, self.length)
        # Every other list without history is a stranger's, of whom not even the row is known.
        known = (lists.history > 0) | (np.arange(len(lists.user)) % 2 == 0)
        arrays = (
            *history,
            rows["categorical"] * known[:, None],
            (rows["numeric"] * known[:, None]).astype(np.float32),
            items,
            self.features.item_rows["categorical"][items],
            np.concatenate([numeric, context], axis=2),
        )
        inputs = tuple(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)
        return Tensors(
            inputs, torch.from_numpy(weight), torch.from_numpy(target), torch.from_numpy(lists.conversion).float()
        )


def _thin(
    lists: CandidateLists, best: int, others: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Positions to keep, the target's first, and how many candidates each stands for."""
    ranks = [CONTEXT_FEATURES.index(name) for name in CONTEXT_FEATURES if name.endswith("_rank")]
    unnamed = 1e3 * (1.0 - lists.context[:, :, [rank + 1 for rank in ranks]])
    place = (lists.context[:, :, ranks] + unnamed).min(axis=2) + rng.random(lists.items.shape) * 1e-3
    place[lists.items == 0] = np.inf
    place[np.arange(len(place)), lists.target] = -1.0
    order = np.argsort(place, axis=1)
    count = (lists.items > 0).sum(axis=1)
    draw = rng.random(order.shape)
    draw[:, :best] = -1.0
    draw[np.arange(order.shape[1]) >= count[:, None]] = 2.0
    position = np.argsort(draw, axis=1, kind="stable")[:, : best + others]
    drawn = np.minimum(np.maximum(count - best, 0), others)
    share = np.maximum(count - best, 0) / np.maximum(drawn, 1)
    weight = np.where(position < best, 1.0, share[:, None]) * (position < count[:, None])
    return np.take_along_axis(order, position, 1), weight.astype(np.float32)


def _standardise(model: ServedRanker, training: Tensors) -> None:
    numbers = training.inputs[-1][training.weight > 0]
    if not len(numbers):
        return
    model.mean.copy_(numbers.mean(dim=0))
    model.scale.copy_(numbers.std(dim=0).clamp_min(1e-3))


def _losses(model: ServedRanker, lists: Tensors) -> tuple[Tensor, Tensor]:
    """Listwise softmax and the two heads' losses, means over lists."""
    click, converts, scores = model.logits(*lists.inputs)
    log_weight = lists.weight.log()
    listwise = functional.cross_entropy(scores + log_weight, lists.target)
    label = functional.one_hot(lists.target, scores.shape[1]).float()
    clicks = functional.binary_cross_entropy_with_logits(click, label, lists.weight, reduction="sum") / len(lists)
    chosen = converts.gather(1, lists.target.unsqueeze(1)).squeeze(1)
    return listwise, clicks + functional.binary_cross_entropy_with_logits(chosen, lists.conversion)


def _fit(
    model: ServedRanker,
    training: Tensors,
    validation: Tensors,
    settings: RankerSettings,
    rng: np.random.Generator,
    show_progress: bool,
) -> ServedRanker:
    """Train; the model that is kept is a running mean of the weights, at its best epoch."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=0.05)
    smooth = copy.deepcopy(model)
    best, best_loss, since, step = copy.deepcopy(model), evaluate(model, validation), 0, 0
    bar = tqdm(range(settings.epochs), desc="ranker", unit="epoch", disable=not show_progress)
    for _ in bar:
        model.train()
        for batch in _slices(rng.permutation(len(training)), settings.batch):
            listwise, heads = _losses(model, training.take(batch))
            optimizer.zero_grad()
            (listwise + settings.heads_weight * heads).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            step += 1
            with torch.no_grad():
                torch._foreach_lerp_(
                    list(smooth.parameters()), list(model.parameters()), 1.0 - min(0.99, step / (step + 10))
                )
        loss = evaluate(smooth, validation)
        bar.set_postfix({"validation loss": f"{loss:.4f}"})
        since += 1
        if loss < best_loss:
            best, best_loss, since = copy.deepcopy(smooth), loss, 0
        if since >= settings.patience:
            break
    return best


@torch.no_grad()
def evaluate(model: ServedRanker, lists: Tensors) -> float:
    """The listwise loss, mean over lists; 0 without lists."""
    model.eval()
    parts = _slices(np.arange(len(lists)), 128)
    total = sum(float(_losses(model, lists.take(part))[0]) * len(part) for part in parts)
    return total / max(1, len(lists))


def _calibrate(model: ServedRanker, lists: Tensors) -> None:
    """Platt scaling (Platt, 1999) of both heads on lists that were not trained on."""
    if not len(lists):
        return
    with torch.no_grad():
        model.eval()
        outputs = [model.logits(*lists.take(part).inputs) for part in _slices(np.arange(len(lists)), 128)]
        click = torch.cat([output.click for output in outputs])
        chosen = torch.cat([output.converts for output in outputs]).gather(1, lists.target.unsqueeze(1))
    label = functional.one_hot(lists.target, click.shape[1]).float()
    model.calibration[0].copy_(_platt(click, label, lists.weight))
    model.calibration[1].copy_(_platt(chosen.squeeze(1), lists.conversion, torch.ones(len(lists))))


def _slices(order: NDArray[np.int64], size: int) -> list[Tensor]:
    return [torch.from_numpy(order[start : start + size]) for start in range(0, len(order), size)]


def _platt(logit: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    fitted = torch.tensor([1.0, 0.0], requires_grad=True)
    optimizer = torch.optim.LBFGS([fitted], max_iter=50, line_search_fn="strong_wolfe")

    def loss() -> float:
        optimizer.zero_grad()
        value = functional.binary_cross_entropy_with_logits(logit * fitted[0] + fitted[1], truth, weight)
        value = value + 1e-4 * ((fitted[0] - 1.0) ** 2 + fitted[1] ** 2)
        value.backward()  # type: ignore[no-untyped-call]
        return value.item()

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return fitted.detach()
