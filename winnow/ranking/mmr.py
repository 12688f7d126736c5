"""Diversity: maximal marginal relevance (Carbonell and Goldstein, 1998)."""

import numpy as np
from numpy.typing import NDArray

TRADE_OFF = 0.9
"""Share of relevance in the default order; the rest is distance to the items already chosen."""


def mmr(
    scores: NDArray[np.float32], vectors: NDArray[np.float32], k: int, trade_off: float = TRADE_OFF
) -> NDArray[np.intp]:
    """Choose ``k`` candidates, each by its relevance and its distance to the ones chosen before it.

    Scores are scaled to [0, 1] over the best ``4 k`` candidates and similarity is the cosine, so ``trade_off`` has the
    same effect at any scale of the ranker.

    Args:
        scores: float32 [N], higher is better.
        vectors: float32 [N, D], item vectors; a zero vector is similar to none.
        k: how many to choose; all, where there are fewer.
        trade_off: 1 keeps the order of the scores, 0 uses diversity alone.

    Returns:
        int [min(k, N)], positions of the chosen candidates, best first.
    """
    pool = np.argsort(-scores, kind="stable")[: 4 * k]
    k = min(k, len(pool))
    if not k:
        return pool
    relevance = scores[pool].astype(np.float64)
    spread = relevance[0] - relevance[-1]
    relevance = (relevance - relevance[-1]) / spread if spread > 0 else np.ones_like(relevance)
    gain = trade_off * relevance
    unit = vectors.take(pool, axis=0)
    unit /= np.maximum(np.sqrt((unit * unit).sum(axis=1, keepdims=True)), 1e-12)
    loss = (1.0 - trade_off) * np.maximum(unit @ unit.T, 0.0)
    largest_loss = np.zeros(len(pool))
    chosen = np.empty(k, np.intp)
    for step in range(k):
        best = (gain - largest_loss).argmax()
        chosen[step] = best
        gain[best] = -np.inf
        np.maximum(largest_loss, loss[best], out=largest_loss)
    return pool[chosen]
