"""What the ranker's heads learn: which events follow an interaction, from moments of the log with their labels.

A head has an example per interaction, not a list: what comes of an item depends on the user and the item, and examples
of it are rare.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from winnow.features.table import FeatureSet
from winnow.features.targets import Outcomes, newest_rows, outcomes
from winnow.models.ranker import ServedRanker
from winnow.settings.training import RankerSettings
from winnow.training.ranker.candidate_lists import target_lists
from winnow.training.ranker.tensors import ListTensorBuilder, ListTensors, slices

BATCH = 128
"""Examples per step, of the validation too."""

_VALIDATING = 8
"""One target in so many validates the heads."""

_PRIOR = 1.0
"""Strength of the belief that a head is calibrated already, in examples."""


@dataclass(frozen=True)
class HeadExamples:
    """Interactions and what came of them, in the memory of the host; ``ranker.moments`` bounds their number.

    Attributes:
        inputs: lists of one candidate, the item of the interaction.
        grade: float32 [Q, H], the label of every head.
        weight: float32 [Q, H], 1 where the label is known and the head learns.
    """

    inputs: ListTensors
    grade: Tensor
    weight: Tensor

    def take(self, chosen: Tensor) -> "HeadExamples":
        """The chosen examples."""
        return HeadExamples(self.inputs.take(chosen), self.grade[chosen], self.weight[chosen])

    def to(self, device: torch.device) -> "HeadExamples":
        """The same examples on a device."""
        return HeadExamples(self.inputs.to(device), self.grade.to(device), self.weight.to(device))

    def __len__(self) -> int:
        return len(self.grade)


@dataclass(frozen=True)
class Support:
    """Which heads the log can teach.

    Attributes:
        learned: bool [H].
        base_rate: float32 [H], mean label, which stands for the head where it is not learned.
        reasons: event type -> why its head is not learned.
    """

    learned: NDArray[np.bool_]
    base_rate: NDArray[np.float32]
    reasons: dict[str, str]


class HeadTraining:
    """Examples and losses of the heads.

    The newest targets whose windows have ended validate and calibrate, and are not learned from. They are the newest of
    the log, not of each user: a user's last target is one that little came of.

    Args:
        features: the feature set.
        targets: bool [events], the interactions.
        conversions: positions of the conversion types among the event types.
        builder: builds tensors.
        settings: of the ranker.
        rng: source of the order of the examples.

    Attributes:
        support: which heads are learned.
    """

    def __init__(
        self,
        features: FeatureSet,
        targets: NDArray[np.bool_],
        conversions: tuple[int, ...],
        builder: ListTensorBuilder,
        settings: RankerSettings,
        rng: np.random.Generator,
    ) -> None:
        log = features.interactions
        ended = log.timestamp + max(features.schema.event_windows_ms) < features.as_of
        known = newest_rows(np.flatnonzero(targets & ended), log.timestamp, settings.moments)
        validating = newest_rows(known, log.timestamp, len(known) // _VALIDATING)
        rows = np.setdiff1d(newest_rows(np.flatnonzero(targets), log.timestamp, settings.moments), validating)
        found = _with_any(outcomes(features, np.concatenate([rows, validating])), conversions)
        learning, validation = (found.take(part) for part in np.split(np.arange(len(found.grade)), [len(rows)]))
        self.support = _support(features.schema.events, learning, settings.fewest)
        self._rng = rng
        self._order: list[Tensor] = []
        useful = np.flatnonzero(learning.known[:, self.support.learned].any(axis=1))
        self._learning = _examples(features, rows[useful], learning.take(useful), self.support, builder)
        self._validation = _examples(features, validating, validation, self.support, builder)

    @property
    def needed(self) -> bool:
        """Whether any head is learned."""
        return bool(self.support.learned.any())

    def batch(self) -> HeadExamples | None:
        """The examples of the next step; ``None`` where no head is learned."""
        if not self.needed:
            return None
        if not self._order:
            self._order = slices(self._rng.permutation(len(self._learning)), BATCH)
        return self._learning.take(self._order.pop())

    def evaluate(self, model: ServedRanker) -> float:
        """The loss on the validation; 0 where no head is learned."""
        if not self.needed or not len(self._validation):
            return 0.0
        return float(head_loss(self._validation_logits(model), self._validation))

    def calibrate(self, model: ServedRanker) -> None:
        """Platt scaling (Platt, 1999) of the learned heads on the validation; the others give their base rate."""
        logits, examples = self._validation_logits(model), self._validation
        for head, learned in enumerate(self.support.learned.tolist()):
            if learned:
                fitted = platt(logits[:, head], examples.grade[:, head], examples.weight[:, head])
            else:
                rate = torch.tensor(self.support.base_rate[head]).clamp(1e-6, 1 - 1e-6)
                fitted = torch.stack([torch.tensor(0.0), torch.logit(rate)])
            model.calibration[:, head] = fitted

    @torch.no_grad()
    def _validation_logits(self, model: ServedRanker) -> Tensor:
        """Logits float32 [Q, H], computed on the model's device and given back on the CPU."""
        model.eval()
        parts = (self._validation.inputs.take(part) for part in slices(np.arange(len(self._validation)), BATCH))
        logits = [model.head_logits(*part.to(model.device).inputs).squeeze(1).cpu() for part in parts]
        return torch.cat([torch.zeros(0, self._validation.grade.shape[1]), *logits])


def platt(logit: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Slope and intercept of a logistic regression of ``truth`` on ``logit``; near 1 and 0 where there is little."""
    fitted = torch.tensor([1.0, 0.0], requires_grad=True)
    optimizer = torch.optim.LBFGS([fitted], max_iter=50, line_search_fn="strong_wolfe")
    known = weight.sum().clamp_min(1.0)

    def loss() -> float:
        optimizer.zero_grad()
        entropy = functional.binary_cross_entropy_with_logits(
            logit * fitted[0] + fitted[1], truth, weight, reduction="sum"
        )
        value = (entropy + _PRIOR * ((fitted[0] - 1.0) ** 2 + fitted[1] ** 2)) / known
        value.backward()  # type: ignore[no-untyped-call]
        return value.item()

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return fitted.detach()


def head_loss(logits: Tensor, examples: HeadExamples) -> Tensor:
    """The mean cross-entropy of the examples, summed over the heads.

    Args:
        logits: float32 [Q, H], of the heads.
        examples: on the same device.
    """
    entropy = functional.binary_cross_entropy_with_logits(logits, examples.grade, examples.weight, reduction="sum")
    return entropy / len(examples)


def _with_any(found: Outcomes, conversions: tuple[int, ...]) -> Outcomes:
    """The labels with one more column, of any conversion, unless there is a single conversion type."""
    if len(conversions) == 1:
        return found
    kinds = list(conversions)
    grade = found.grade[:, kinds].max(axis=1, initial=0.0)[:, None]
    known = np.logical_and.reduce(found.known[:, kinds], axis=1, keepdims=True)
    return Outcomes(np.concatenate([found.grade, grade], axis=1), np.concatenate([found.known, known], axis=1))


def _support(types: tuple[str, ...], found: Outcomes, fewest: int) -> Support:
    names = [*types, "any conversion"]
    heads = found.grade.shape[1]
    learned, base_rate = np.zeros(heads, np.bool_), np.zeros(heads, np.float32)
    reasons: dict[str, str] = {}
    for head in range(heads):
        known: NDArray[np.bool_] = found.known[:, head]
        # Without a moment whose window has ended, the labels so far are the best guess.
        grade = found.grade[known, head] if known.any() else found.grade[:, head]
        yes, no = float(grade.sum()), float((1.0 - grade).sum())
        base_rate[head] = (yes + 0.5) / (yes + no + 1.0)
        learned[head] = known.any() and yes >= fewest and no >= fewest
        if not learned[head]:
            reasons[names[head]] = f"{yes:,.0f} of {int(known.sum()):,} interactions whose window has ended led to one"
    return Support(learned, base_rate, reasons)


def _examples(
    features: FeatureSet, rows: NDArray[np.int64], found: Outcomes, support: Support, builder: ListTensorBuilder
) -> HeadExamples:
    inputs = builder.build(target_lists(features, rows, builder.length), 1, 0, np.random.default_rng(0))
    weight = (found.known & support.learned).astype(np.float32)
    return HeadExamples(inputs, torch.from_numpy(found.grade), torch.from_numpy(weight))
