"""The retriever's loss: log-likelihood weighted by value, over the whole catalog or over sampled items."""

import torch
from torch import Tensor
from torch.nn import functional


def value_weighted(log_probability: Tensor, value: Tensor) -> Tensor:
    """The summed loss of targets, each weighted by what came of it.

    A positive value weights the negative log-likelihood. A negative one weights the unlikelihood ``-log(1 - p)``
    (Welleck et al., 2020), which pushes a refused item away as far as the model believes in it.

    Args:
        log_probability: float32 [P], of each target.
        value: float32 [P].
    """
    positive, negative = value.clamp(min=0.0), (-value).clamp(min=0.0)
    unlikelihood = -torch.log1p(-log_probability.exp().clamp(max=1.0 - 1e-6))
    return (negative * unlikelihood - positive * log_probability).sum()


def target_log_probability(logits: Tensor, target: Tensor, log_inclusion: Tensor | None) -> Tensor:
    """Log-probabilities of the targets among the candidates of a step.

    The logit of a candidate is corrected by how often it is a candidate (logQ: Yi et al., 2019), which makes the
    expectation that of the softmax over the catalog. A target is a candidate with certainty: its own logit needs no
    correction.

    Args:
        logits: float32 [P, C].
        target: int64 [P], columns of the targets.
        log_inclusion: float32 [C]; ``None`` where the candidates are the catalog.

    Returns:
        float32 [P].
    """
    if log_inclusion is None:
        return -functional.cross_entropy(logits, target, reduction="none")
    column = target.unsqueeze(1)
    corrected = (logits - log_inclusion).scatter(1, column, logits.gather(1, column))
    return -functional.cross_entropy(corrected, target, reduction="none")
