"""Training the ranker on the lists of :mod:`winnow.training.candidate_lists`."""

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

from winnow.features.table import FeatureSet, Interactions
from winnow.models.ranker import ServedRanker
from winnow.models.towers import Shapes
from winnow.training.candidate_lists import CandidateLists, NumericsAt, Sources, past_lists
from winnow.training.list_tensors import Moments, Tensors
from winnow.training.retriever import RetrieverTraining
from winnow.training.windows import first_meetings


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
        fewest: lists that training and validation need each; with fewer, chance would choose the order, and none is
            learned.
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
    fewest: int = 50
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
        unlearned: why there is no order to serve but that of the sources; empty where one was learned.
    """

    shapes: Shapes
    settings: RankerSettings
    history_length: int
    numerics: int
    model: ServedRanker
    unlearned: str = ""

    def save(self, folder: Path) -> None:
        """Write ``weights.pt`` and ``settings.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(self.model.state_dict(), folder / "weights.pt")
        described = {
            "shapes": self.shapes.model_dump(),
            "settings": self.settings.model_dump(),
            "history_length": self.history_length,
            "numerics": self.numerics,
            "unlearned": self.unlearned,
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
        return cls(shapes, settings, length, numerics, model.eval(), described["unlearned"])


def train_ranker(
    features: FeatureSet,
    retrieval: RetrieverTraining,
    numerics_at: NumericsAt,
    sources: Sources,
    settings: RankerSettings,
    show_progress: bool,
) -> TrainedRanker:
    """Train on past moments' candidate lists; stop early, and calibrate, on each user's newest first meeting.

    Where the lists are too few, or nothing that was learned orders them better than the retriever does, the model is
    the one that training starts from, and the result says why.

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
    validating = _validating(log, lists, settings.seed)
    shapes, length = retrieval.served.shapes, retrieval.served.settings.history_length
    numerics = features.item_rows["numeric"].shape[1]
    vectors = retrieval.rehearsal.item_vectors
    model = ServedRanker(shapes, numerics, vectors, length, settings.width, settings.dropout)
    learning = ~validating & (lists.history > 0)
    count = {"training": int(learning.sum()), "validation": int(validating.sum())}
    few = [f"{number} lists for {use}" for use, number in count.items() if number < settings.fewest]
    unlearned = f"the log gives only {' and '.join(few)}, fewer than {settings.fewest}" if few else ""
    if not few:
        moments = Moments(features, numerics_at, length)
        training, validation = (
            moments.tensors(lists.take(np.flatnonzero(chosen)), settings.best, settings.others, rng)
            for chosen in (~validating, validating)
        )
        _standardise(model, training)
        model, epochs = _fit(model, training, validation, settings, rng, show_progress)
        _calibrate(model, validation)
        unlearned = "" if epochs else f"it orders the {count['validation']} lists for validation no better"
    model.item_vectors.copy_(retrieval.served.item_vectors)
    return TrainedRanker(shapes, settings, length, numerics, model.eval(), unlearned)


def _validating(log: Interactions, lists: CandidateLists, seed: int) -> NDArray[np.bool_]:
    """Which lists validate: those of each user's newest first meeting, but half of the lists with a history at most.

    Not those of a user's last event: where people view, then buy, hardly anybody's last event is a first meeting.
    """
    user_of = np.repeat(np.arange(log.users), np.diff(log.offsets))
    newest = np.full(log.users, -1)
    np.maximum.at(newest, user_of, np.where(first_meetings(log), np.arange(len(user_of)), -1))
    validating: NDArray[np.bool_] = (lists.end == newest[lists.user]) & (lists.history > 0)
    too_many = int(validating.sum()) - int((lists.history > 0).sum()) // 2
    if too_many > 0:
        given_back = np.random.default_rng(seed).permutation(np.flatnonzero(validating))[:too_many]
        validating[given_back] = False
    return validating


def _standardise(model: ServedRanker, training: Tensors) -> None:
    numbers = training.inputs[-1][training.weight > 0]
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
) -> tuple[ServedRanker, int]:
    """Train; the model that is kept is a running mean of the weights, at its best epoch.

    Returns:
        The model and the number of epochs it took; 0 where it is the one that training began with.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=0.05)
    smooth = copy.deepcopy(model)
    best, best_loss, best_epoch, since, step = copy.deepcopy(model), evaluate(model, validation), 0, 0, 0
    bar = tqdm(range(1, settings.epochs + 1), desc="ranker", unit="epoch", disable=not show_progress)
    for epoch in bar:
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
            best, best_loss, best_epoch, since = copy.deepcopy(smooth), loss, epoch, 0
        if since >= settings.patience:
            break
    return best, best_epoch


@torch.no_grad()
def evaluate(model: ServedRanker, lists: Tensors) -> float:
    """The listwise loss, mean over lists."""
    model.eval()
    parts = _slices(np.arange(len(lists)), 128)
    total = sum(float(_losses(model, lists.take(part))[0]) * len(part) for part in parts)
    return total / len(lists)


def _calibrate(model: ServedRanker, lists: Tensors) -> None:
    """Platt scaling (Platt, 1999) of both heads on lists that were not trained on."""
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
