"""Softmax over a catalog too large to score whole."""

import math

import torch
from torch import Tensor
from torch.nn import functional


def next_item_loss(
    wanted: Tensor,
    target_vectors: Tensor,
    target: Tensor,
    negative_vectors: Tensor,
    negatives: Tensor,
    probability: Tensor,
) -> Tensor:
    """Sampled softmax whose expectation is the full one's: negatives are corrected by how often they are drawn.

    The logQ correction of Yi et al. (2019); the target is there for certain and needs none.

    Args:
        wanted: float32 [P, D].
        target_vectors: float32 [P, D].
        target: int64 [P], item indices.
        negative_vectors: float32 [S, D].
        negatives: int64 [S], item indices, drawn with replacement.
        probability: float32 [S], with which each of them is drawn.
    """
    positive = (wanted * target_vectors).sum(-1, keepdim=True)
    drawn = wanted @ negative_vectors.T - (probability.log() + math.log(len(negatives)))
    drawn = drawn.masked_fill(negatives == target.unsqueeze(1), -torch.inf)
    logits = torch.cat([positive, drawn], dim=1)
    return functional.cross_entropy(logits, torch.zeros_like(target))
