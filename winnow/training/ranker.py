"""Training of the ranker on the lists of :mod:`winnow.training.candidate_lists`."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from winnow.features.table import FeatureSet, Interactions
from winnow.models.ranker import ServedRanker
from winnow.settings.training import RankerSettings, TrainingSettings
from winnow.training.candidate_lists import CandidateLists, NumericsAt, past_lists
from winnow.training.ranker_tensors import ListTensorBuilder, ListTensors
from winnow.training.retriever import RetrieverTraining
from winnow.training.retriever_windows import first_interactions
from winnow.training.running_mean import RunningMean
from winnow.training.trained_ranker import TrainedRanker


def train_ranker(
    features: FeatureSet,
    retrieval: RetrieverTraining,
    numerics_at: NumericsAt,
    training: TrainingSettings,
    show_progress: bool,
) -> TrainedRanker:
    """Train on past moments' candidate lists; stop early, and calibrate, on each user's newest first interaction.

    Where the lists are too few, or no epoch orders them better than the retriever does, the model is the one that
    training starts from, and ``unranked_reason`` gives the cause.

    Args:
        features: the feature set.
        retrieval: the trained retriever with its holdout fit.
        numerics_at: point-in-time item numerics.
        training: the settings; of the candidates, lists and ranker.
        show_progress: draw progress bars.
    """
    settings = training.ranker
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    log = features.interactions
    lists = past_lists(features, retrieval, numerics_at, training, show_progress)
    validating = _validating(log, lists, settings.seed)
    shapes, length = retrieval.served.shapes, retrieval.served.settings.history_length
    numerics = features.item_rows["numeric"].shape[1]
    vectors = retrieval.holdout_fit.item_vectors
    model = ServedRanker(shapes, numerics, vectors, length, settings.width, settings.dropout)
    learning = ~validating & (lists.history > 0)
    count = {"training": int(learning.sum()), "validation": int(validating.sum())}
    few = [f"{number} lists for {use}" for use, number in count.items() if number < settings.fewest]
    reason = f"the log gives only {' and '.join(few)}, fewer than {settings.fewest}" if few else ""
    if not few:
        builder = ListTensorBuilder(features, numerics_at, length)
        learned, validation = (
            builder.build(lists.take(np.flatnonzero(chosen)), settings.best, settings.others, rng)
            for chosen in (~validating, validating)
        )
        _standardise(model, learned)
        model, epochs = _fit(model, learned, validation, settings, rng, show_progress)
        _calibrate(model, validation)
        reason = "" if epochs else f"it orders the {count['validation']} lists for validation no better"
    model.item_vectors.copy_(retrieval.served.item_vectors)
    return TrainedRanker(shapes, settings, training.candidates, length, numerics, model.eval(), reason)


def _validating(log: Interactions, lists: CandidateLists, seed: int) -> NDArray[np.bool_]:
    """Which lists validate: of each user's newest first interaction, but half of the lists with a history at most.

    A user's last event would not do: where users view an item, then buy it, few last events are first interactions.
    """
    user_of = np.repeat(np.arange(log.users), np.diff(log.offsets))
    newest = np.full(log.users, -1)
    np.maximum.at(newest, user_of, np.where(first_interactions(log), np.arange(len(user_of)), -1))
    validating: NDArray[np.bool_] = (lists.end == newest[lists.user]) & (lists.history > 0)
    too_many = int(validating.sum()) - int((lists.history > 0).sum()) // 2
    if too_many > 0:
        surplus = np.random.default_rng(seed).permutation(np.flatnonzero(validating))[:too_many]
        validating[surplus] = False
    return validating


def _standardise(model: ServedRanker, training: ListTensors) -> None:
    numbers = training.inputs[-1][training.weight > 0]
    model.mean.copy_(numbers.mean(dim=0))
    model.scale.copy_(numbers.std(dim=0).clamp_min(1e-3))


def _losses(model: ServedRanker, lists: ListTensors) -> tuple[Tensor, Tensor]:
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
    training: ListTensors,
    validation: ListTensors,
    settings: RankerSettings,
    rng: np.random.Generator,
    show_progress: bool,
) -> tuple[ServedRanker, int]:
    """Train; the result is the running mean of the weights, at its best epoch.

    Returns:
        The model and the number of epochs it took; 0 where it is the one that training began with.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    mean = RunningMean(model)
    best, best_loss, best_epoch, since = mean.model(), evaluate(model, validation), 0, 0
    bar = tqdm(range(1, settings.epochs + 1), desc="ranker", unit="epoch", disable=not show_progress)
    for epoch in bar:
        model.train()
        for batch in _slices(rng.permutation(len(training)), settings.batch):
            listwise, heads = _losses(model, training.take(batch))
            optimizer.zero_grad()
            (listwise + settings.heads_weight * heads).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            mean.update()
        averaged = mean.model()
        loss = evaluate(averaged, validation)
        bar.set_postfix({"validation loss": f"{loss:.4f}"})
        since += 1
        if loss < best_loss:
            best, best_loss, best_epoch, since = averaged, loss, epoch, 0
        if since >= settings.patience:
            break
    return best, best_epoch


@torch.no_grad()
def evaluate(model: ServedRanker, lists: ListTensors) -> float:
    """The listwise loss, mean over lists."""
    model.eval()
    parts = _slices(np.arange(len(lists)), 128)
    total = sum(float(_losses(model, lists.take(part))[0]) * len(part) for part in parts)
    return total / len(lists)


def _calibrate(model: ServedRanker, lists: ListTensors) -> None:
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
