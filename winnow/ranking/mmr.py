"""Diversity: maximal marginal relevance (Carbonell and Goldstein, 1998)."""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

TRADE_OFF = 0.9
"""Share of relevance in the default order; the rest is distance to the items already chosen."""


def mmr(
    scores: NDArray[np.float32],
    vectors: NDArray[np.float32],
    k: int,
    trade_off: float = TRADE_OFF,
    closes: Callable[[int], Iterable[int]] | None = None,
) -> NDArray[np.intp]:
    """Choose ``k`` candidates, each by its relevance and its distance to the ones chosen before it.

    Scores are scaled to [0, 1] over the best ``4 k`` candidates and similarity is the cosine, so ``trade_off`` has the
    same effect at any scale of the ranker.

    Args:
        scores: float32 [N], higher is better.
        vectors: float32 [N, D], item vectors; a zero vector is similar to none.
        k: how many to choose; all, where there are fewer.
        trade_off: 1 keeps the order of the scores, 0 uses diversity alone.
        closes: called with the position of each chosen candidate; returns the positions of those that may not be chosen
            after it (:mod:`winnow.ranking.caps`). ``None`` closes none.

    Returns:
        int [<= min(k, N)], positions of the chosen candidates, best first; fewer only where the others are closed.
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
    # In row ``i`` what each candidate is worth beside ``i``; the least of it over the chosen ones decides.
    beside = gain - (1.0 - trade_off) * np.maximum(unit @ unit.T, 0.0)
    worth = gain.copy()
    chosen: list[int] = []
    for _ in range(k):
        best = int(worth.argmax())
        if closes is not None and worth[best] == -np.inf:
            break
        chosen.append(best)
        worth[best] = -np.inf
        if closes is not None:
            worth[np.isin(pool, list(closes(int(pool[best]))))] = -np.inf
        np.minimum(worth, beside[best], out=worth)
    return pool[chosen]
