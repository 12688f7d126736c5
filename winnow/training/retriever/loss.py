"""The retriever's loss: log-likelihood weighted by value, over the whole catalog or over sampled negatives."""

import math

import torch
from torch import Tensor
from torch.nn import functional


def value_weighted(log_probability: Tensor, value: Tensor) -> Tensor:
    """The mean loss of targets, each weighted by what came of it.

    A positive value weights the negative log-likelihood. A negative one weights the unlikelihood ``-log(1 - p)``
    (Welleck et al., 2020), which pushes a refused item away as far as the model believes in it.

    Args:
        log_probability: float32 [P], of each target.
        value: float32 [P], at least one of them positive.
    """
    positive, negative = value.clamp(min=0.0), (-value).clamp(min=0.0)
    unlikelihood = -torch.log1p(-log_probability.exp().clamp(max=1.0 - 1e-6))
    return (negative * unlikelihood - positive * log_probability).sum() / positive.sum()


def next_item_log_probability(
    user_vectors: Tensor,
    target_vectors: Tensor,
    target: Tensor,
    negative_vectors: Tensor,
    negatives: Tensor,
    probability: Tensor,
) -> Tensor:
    """Log-probabilities of the targets among sampled negatives, corrected by how often each of them is drawn.

    The logQ correction of Yi et al. (2019) makes the expectation that of the full softmax; the target is always present
    and needs no correction.

    Args:
        user_vectors: float32 [P, D].
        target_vectors: float32 [P, D].
        target: int64 [P], item indices.
        negative_vectors: float32 [S, D].
        negatives: int64 [S], item indices, drawn with replacement.
        probability: float32 [S], of drawing each of them.

    Returns:
        float32 [P].
    """
    positive = (user_vectors * target_vectors).sum(-1, keepdim=True)
    drawn = user_vectors @ negative_vectors.T - (probability.log() + math.log(len(negatives)))
    drawn = drawn.masked_fill(negatives == target.unsqueeze(1), -torch.inf)
    logits = torch.cat([positive, drawn], dim=1)
    return -functional.cross_entropy(logits, torch.zeros_like(target), reduction="none")
