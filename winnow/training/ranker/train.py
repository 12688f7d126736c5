"""Training of the ranker on the lists of :mod:`winnow.training.ranker.candidate_lists`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from winnow.features.table import FeatureSet
from winnow.features.targets import newest_of_users, target_rows
from winnow.models.affinity import HistoryAffinity
from winnow.models.ranker import ServedRanker
from winnow.provenance import Curve, Point
from winnow.settings.training import ComputeSettings, TrainingSettings
from winnow.training.loop.devices import autocast, compiled, device_of, threads_for
from winnow.training.loop.profiling import profiled
from winnow.training.loop.progress import Progress
from winnow.training.loop.running_mean import RunningMean
from winnow.training.ranker.candidate_lists import CandidateLists, NumericsAt, PastSources, past_lists
from winnow.training.ranker.heads import HeadExamples, HeadTraining, head_loss
from winnow.training.ranker.impression_lists import impression_lists
from winnow.training.ranker.tensors import ListTensorBuilder, ListTensors, slices
from winnow.training.ranker.trained import TrainedRanker
from winnow.training.retriever.train import RetrieverTraining

_RATE, _EPOCHS, _MOMENTS = 0.5, 2, 0.3
"""Of a ranker that is gone on from: the learning rate as a share of the settings', epochs at most, and the examples of
the heads as a share of the settings'."""


def train_ranker(
    features: FeatureSet,
    retrieval: RetrieverTraining,
    numerics_at: NumericsAt,
    training: TrainingSettings,
    show_progress: bool,
    profile: Path | None = None,
    start: TrainedRanker | None = None,
) -> TrainedRanker:
    """Train on past moments' candidate lists; each user's newest target validates the order and scales the clicks.

    Where the lists are too few, or the order is no better than the retriever's, ``unranked_reason`` gives the cause;
    the ranker of ``start`` stays as it is then. The model trains on the device of the settings, and is on the CPU
    afterwards.

    Args:
        features: the feature set.
        retrieval: the trained retriever with its holdout fit.
        numerics_at: point-in-time item numerics.
        training: the settings; of the candidates, lists, ranker and device.
        show_progress: draw progress bars.
        profile: folder that gets a trace of a few steps.
        start: a ranker to go on from, which has learned an order, on the catalog of ``features``.
    """
    given, schema = training.ranker, features.schema
    training = training if start is None else _gone_on(training)
    settings = training.ranker
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    sources = PastSources(features, retrieval, training)
    targets = target_rows(features)
    lists = past_lists(features, targets, retrieval.until, sources, training.lists, show_progress)
    shown = impression_lists(features, retrieval.until, sources, training.lists.withheld)
    validating = _validating(newest_of_users(features.interactions, targets), lists, settings.seed)
    shapes, length = retrieval.served.shapes, retrieval.served.settings.history_length
    numerics = features.item_rows["numeric"].shape[1]
    conversions = tuple(schema.events.index(name) for name in schema.conversions)
    vectors = retrieval.holdout_fit.item_vectors
    if start is None:
        affinity = HistoryAffinity.of(features.item_rows, schema.item[0].cardinality, shapes.events)
        model = ServedRanker(shapes, numerics, vectors, affinity, length, settings.width, settings.dropout, conversions)
    else:
        model = start.model
    learning = ~validating & (lists.history > 0)
    count = {"training": int(learning.sum()), "validation": int(validating.sum())}
    few = [f"{number} lists for {use}" for use, number in count.items() if number < settings.fewest]
    reason = f"the log gives only {' and '.join(few)}, fewer than {settings.fewest}" if few else ""
    constant = start.constant_heads if start else {}
    points: list[Point] = []
    if not few:
        builder = ListTensorBuilder(features, numerics_at, length)
        learned, validation = (
            builder.build(lists.take(np.flatnonzero(chosen)), settings.best, settings.others, rng)
            for chosen in (~validating, validating)
        )
        heads = HeadTraining(features, targets, conversions, builder, settings, rng)
        constant = heads.support.reasons
        if start is None:
            _standardise(model, learned)
        batches = [learned, builder.build(shown, settings.best, settings.others, rng)] if len(shown) else [learned]
        model.to(device_of(training.compute))
        model, ordered, points = _fit(model, batches, validation, heads, training, rng, show_progress, profile)
        _sharpen(model, validation)
        heads.calibrate(model)
        reason = "" if ordered else f"it orders the {count['validation']} lists for validation no better"
    reason = "" if start else reason
    # Assigned, not copied into: the model shares the holdout fit's vectors until here.
    model.item_vectors = retrieval.served.item_vectors
    model.cpu().eval()
    curve = Curve(validation="loss of the order", points=points)
    return TrainedRanker(
        shapes, given, training.candidates, length, numerics, conversions, model, reason, constant, curve
    )


def _gone_on(training: TrainingSettings) -> TrainingSettings:
    """The settings with which a trained ranker learns new moments: smaller and fewer steps, fewer examples of heads."""
    ranker = training.ranker
    less = {
        "learning_rate": _RATE * ranker.learning_rate,
        "epochs": min(_EPOCHS, ranker.epochs),
        "moments": max(1, int(_MOMENTS * ranker.moments)),
    }
    return training.model_copy(update={"ranker": ranker.model_copy(update=less)})


def _validating(newest: NDArray[np.int64], lists: CandidateLists, seed: int) -> NDArray[np.bool_]:
    """Which lists validate: of each user's newest target, but half of the lists with a history at most."""
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


def loss_of_step(
    model: ServedRanker,
    lists: ListTensors,
    examples: HeadExamples | None,
    heads_weight: float,
    compute: ComputeSettings,
) -> Tensor:
    """The loss of one step: of the order of the lists, and of the heads.

    Args:
        model: in training.
        lists: of the step, on the model's device.
        examples: of the heads, on the same device; ``None`` where no head is learned.
        heads_weight: weight of the heads' loss.
        compute: the precision of the forward passes.
    """
    with autocast(compute, model.device):
        scores = model.logits(*lists.inputs).scores
        logits = model.head_logits(*examples.inputs.inputs) if examples else None
    scores = scores.float() + model.position_bias(lists.position).squeeze(-1)
    listwise = functional.cross_entropy(scores + lists.weight.log(), lists.target, reduction="none")
    loss = (listwise * lists.importance).mean()
    if examples and logits is not None:
        loss = loss + heads_weight * head_loss(logits.float().squeeze(1), examples)
    return loss


def _fit(
    model: ServedRanker,
    training: Sequence[ListTensors],
    validation: ListTensors,
    heads: HeadTraining,
    chosen: TrainingSettings,
    rng: np.random.Generator,
    show_progress: bool,
    profile: Path | None,
) -> tuple[ServedRanker, bool, list[Point]]:
    """Train on the lists of past moments and, as far as they are logged, of impressions.

    The result is the running mean of the weights, at the epoch whose losses, of the order and of the heads, are lowest.

    Returns:
        The model, on the same device, whether it orders the validation better than the one that training began with,
        and the epochs.
    """
    settings, device, loss_of = chosen.ranker, model.device, compiled(loss_of_step, chosen.compute)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    mean = RunningMean(model)
    start = order = evaluate(model, validation)
    best, best_loss, since = mean.model(), start + settings.heads_weight * heads.evaluate(model), 0
    points: list[Point] = []
    examples = settings.epochs * sum(len(lists) for lists in training)
    numbers = settings.batch * (settings.best + settings.others) * settings.width
    with (
        Progress("ranker", examples, "list", show_progress) as progress,
        profiled("ranker", profile) as profiler,
        threads_for(numbers),
    ):
        for epoch in range(1, settings.epochs + 1):
            model.train()
            total = torch.zeros((), device=device)
            steps = [
                (lists, part) for lists in training for part in slices(rng.permutation(len(lists)), settings.batch)
            ]
            for step in rng.permutation(len(steps)).tolist():
                lists, part = steps[step]
                batch, head_examples = lists.take(part).to(device), heads.batch()
                head_examples = head_examples and head_examples.to(device)
                loss = loss_of(model, batch, head_examples, settings.heads_weight, chosen.compute)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                mean.update()
                total += loss.detach()
                progress.step(len(part))
                profiler.step()
            averaged = mean.model()
            order_after, heads_after = evaluate(averaged, validation), heads.evaluate(averaged)
            progress.show({"validation loss": order_after, "of the heads": heads_after})
            points.append(Point(epoch=epoch, loss=float(total) / max(1, len(steps)), validation=order_after))
            since += 1
            if order_after + settings.heads_weight * heads_after < best_loss:
                best, best_loss, since = averaged, order_after + settings.heads_weight * heads_after, 0
                order = order_after
            if since >= settings.patience:
                break
    return best, order < start, points


@torch.no_grad()
def _scores(model: ServedRanker, lists: ListTensors) -> Tensor:
    """The scores of lists, computed in float32, as they are served, on the model's device; on the CPU, [Q, N]."""
    model.eval()
    parts = (lists.take(part).to(model.device) for part in slices(np.arange(len(lists)), 128))
    return torch.cat([model.logits(*part.inputs).scores.cpu() for part in parts])


@torch.no_grad()
def evaluate(model: ServedRanker, lists: ListTensors) -> float:
    """The listwise loss, mean over lists."""
    bias = model.position_bias(lists.position.to(model.device)).squeeze(-1).cpu()
    return float(functional.cross_entropy(_scores(model, lists) + bias + lists.weight.log(), lists.target))


@torch.no_grad()
def _sharpen(model: ServedRanker, lists: ListTensors) -> None:
    """Temperature scaling (Guo et al., 2017) of the scores on lists that were not trained on."""
    scores = _scores(model, lists)

    def loss(sharpness: float) -> float:
        return float(functional.cross_entropy(scores * sharpness + lists.weight.log(), lists.target))

    model.sharpness.fill_(min(np.geomspace(0.5, 2.0, 41).tolist(), key=loss))
