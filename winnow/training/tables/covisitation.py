"""Fitting of the co-visitation table: items that users interact with close to each other.

Two items of one user, ``d`` steps apart, count ``exp(-d / reach)`` for each other; the sum over all users is divided by
the square root of both items' counts, so that a popular item is not a neighbour of every item. This is the item-to-item
collaborative filtering of Linden et al. (2003) with closeness in the sequence instead of mere membership.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from winnow.features.table import Interactions
from winnow.settings.training import CovisitationSettings


def covisitation_table(
    log: Interactions,
    values: NDArray[np.float32],
    until: NDArray[np.int64],
    items: int,
    settings: CovisitationSettings,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The strongest neighbours of every item.

    Args:
        log: the interactions.
        values: float32 [events], the value of each event; those of a negative one do not count.
        until: int64 [users], row of the log after the last of each user that may be used.
        items: ``n``.
        settings: reach of a co-visit, and ``M``, neighbours per item at most.

    Returns:
        neighbours int32 [n + 1, M], best first and padded with 0, and weights float32 [n + 1, M].
    """
    user = log.user
    usable = (np.arange(len(log.item)) < until[user]) & (values >= 0)
    user, item = user[usable], log.item[usable]
    shape = (items + 1, items + 1)
    visits: sparse.csr_array = sparse.csr_array(shape, dtype=np.float64)
    for step in range(1, min(settings.farthest, len(item))):
        near = user[step:] == user[:-step]
        pairs = (item[:-step][near], item[step:][near])
        visits = visits + sparse.csr_array((np.full(len(pairs[0]), np.exp(-step / settings.reach)), pairs), shape=shape)
    damping = sparse.diags_array(1.0 / np.sqrt(np.bincount(item, minlength=items + 1) + 1.0))
    visits = sparse.csr_array(damping @ (visits + visits.T) @ damping)
    kept = settings.neighbours
    neighbours, weights = np.zeros((items + 1, kept), np.int32), np.zeros((items + 1, kept), np.float32)
    for one in range(1, items + 1):
        row = slice(visits.indptr[one], visits.indptr[one + 1])
        others, strength = visits.indices[row], visits.data[row] * (visits.indices[row] != one)
        best = np.lexsort((others, -strength))[:kept]
        best = best[strength[best] > 0]
        neighbours[one, : len(best)], weights[one, : len(best)] = others[best], strength[best]
    return neighbours, weights
