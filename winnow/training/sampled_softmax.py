"""Sampled softmax, for catalogs too large to score whole in every training step."""

import math

import torch
from torch import Tensor
from torch.nn import functional


def next_item_loss(
    user_vectors: Tensor,
    target_vectors: Tensor,
    target: Tensor,
    negative_vectors: Tensor,
    negatives: Tensor,
    probability: Tensor,
) -> Tensor:
    """Cross-entropy over sampled negatives, corrected by how often each of them is drawn.

    The logQ correction of Yi et al. (2019) makes its expectation that of the full softmax; the target is always present
    and needs no correction.

    Args:
        user_vectors: float32 [P, D].
        target_vectors: float32 [P, D].
        target: int64 [P], item indices.
        negative_vectors: float32 [S, D].
        negatives: int64 [S], item indices, drawn with replacement.
        probability: float32 [S], of drawing each of them.
    """
    positive = (user_vectors * target_vectors).sum(-1, keepdim=True)
    drawn = user_vectors @ negative_vectors.T - (probability.log() + math.log(len(negatives)))
    drawn = drawn.masked_fill(negatives == target.unsqueeze(1), -torch.inf)
    logits = torch.cat([positive, drawn], dim=1)
    return functional.cross_entropy(logits, torch.zeros_like(target))
