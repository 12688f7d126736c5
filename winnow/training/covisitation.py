"""Items that are met together: the co-visitation table, built offline.

Two items met by one user ``d`` steps apart say ``exp(-d / REACH)`` for each other; the sum over all users is divided by
the square root of both items' counts, so that a popular item is not everyone's neighbour. This is the item-to-item
collaborative filtering of Linden et al. (2003) with closeness in the sequence instead of mere membership.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from winnow.features.table import Interactions

REACH = 13.0
"""Steps after which a co-visit counts a third of what it counts between neighbours in the sequence."""

FARTHEST = 40
"""Steps beyond which a co-visit is not counted."""


def covisitation_table(
    log: Interactions, until: NDArray[np.int64], items: int, kept: int = 100
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The strongest neighbours of every item.

    Args:
        log: the interactions.
        until: int64 [users], row of the log after the last of each user that may be used.
        items: ``n``.
        kept: ``M``, neighbours per item at most.

    Returns:
        neighbours int32 [n + 1, M], best first and padded with 0, and weights float32 [n + 1, M].
    """
    user = np.repeat(np.arange(log.users), np.diff(log.offsets))
    usable = np.arange(len(log.item)) < until[user]
    user, item = user[usable], log.item[usable]
    shape = (items + 1, items + 1)
    met: sparse.csr_array = sparse.csr_array(shape, dtype=np.float64)
    for step in range(1, min(FARTHEST, len(item))):
        near = user[step:] == user[:-step]
        pairs = (item[:-step][near], item[step:][near])
        met = met + sparse.csr_array((np.full(len(pairs[0]), np.exp(-step / REACH)), pairs), shape=shape)
    damping = sparse.diags_array(1.0 / np.sqrt(np.bincount(item, minlength=items + 1) + 1.0))
    met = sparse.csr_array(damping @ (met + met.T) @ damping)
    neighbours, weights = np.zeros((items + 1, kept), np.int32), np.zeros((items + 1, kept), np.float32)
    for one in range(1, items + 1):
        row = slice(met.indptr[one], met.indptr[one + 1])
        others, strength = met.indices[row], met.data[row] * (met.indices[row] != one)
        best = np.lexsort((others, -strength))[:kept]
        best = best[strength[best] > 0]
        neighbours[one, : len(best)], weights[one, : len(best)] = others[best], strength[best]
    return neighbours, weights
