"""The classics that a recommender has to beat: popularity, item-to-item cosine, EASE.

Each takes the log and gives every user's best items, most relevant first, the items of the user's history left out.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from winnow.features.table import Interactions

CHUNK = 1024


def popularity(log: Interactions, items: int, k: int) -> NDArray[np.int32]:
    """The items with the most users, the same for everybody.

    Args:
        log: the interactions.
        items: number of items, padding not counted.
        k: length of the lists.

    Returns:
        int32 [users, k], item indices, padded with 0.
    """
    met = _met(log, items)
    users_of_item = np.asarray(met.sum(axis=0), np.float32).ravel()
    return _top(met, lambda rows: np.tile(users_of_item, (rows.shape[0], 1)), k)


def item_knn(log: Interactions, items: int, k: int, neighbours: int = 20) -> NDArray[np.int32]:
    """Sum of an item's cosines to its nearest neighbours that are in the history (Deshpande and Karypis, 2004).

    Args:
        log: the interactions.
        items: number of items, padding not counted.
        k: length of the lists.
        neighbours: nearest neighbours per item.

    Returns:
        int32 [users, k], item indices, padded with 0.
    """
    met = _met(log, items)
    length = np.sqrt(np.asarray(met.sum(axis=0)).ravel())
    unit = met @ sparse.diags_array(1.0 / np.maximum(length, 1.0))
    similar = sparse.lil_array(unit.T @ unit)
    similar.setdiag(0.0)
    kept = _strongest(sparse.csr_array(similar), neighbours)
    return _top(met, lambda rows: np.asarray((rows @ kept.T).todense(), np.float32), k)


def ease(log: Interactions, items: int, k: int, regularisation: float = 250.0) -> NDArray[np.int32]:
    """Embarrassingly shallow autoencoder (Steck, 2019): ridge regression of every item on all the others, closed form.

    Args:
        log: the interactions.
        items: number of items, padding not counted; time grows with its cube.
        k: length of the lists.
        regularisation: added to the Gram matrix's diagonal.

    Returns:
        int32 [users, k], item indices, padded with 0.
    """
    met = _met(log, items)
    gram = np.asarray((met.T @ met).todense(), np.float64)
    gram[np.diag_indices_from(gram)] += regularisation
    inverse = np.linalg.inv(gram)
    weights = (inverse / -np.diag(inverse)).astype(np.float32)
    np.fill_diagonal(weights, 0.0)
    return _top(met, lambda rows: np.asarray(rows @ weights, np.float32), k)


def _met(log: Interactions, items: int) -> sparse.csr_array:
    """Who met what: 0 or 1, [users, n + 1]."""
    user = np.repeat(np.arange(log.users), np.diff(log.offsets))
    met = sparse.csr_array((np.ones(len(user), np.float32), (user, log.item)), shape=(log.users, items + 1))
    met.data[:] = 1.0
    return met


def _strongest(matrix: sparse.csr_array, kept: int) -> sparse.csr_array:
    """Each row's ``kept`` largest entries."""
    for row in range(matrix.shape[0]):
        values = matrix.data[matrix.indptr[row] : matrix.indptr[row + 1]]
        if len(values) > kept:
            values[np.argsort(-values, kind="stable")[kept:]] = 0.0
    matrix.eliminate_zeros()
    return matrix


def _top(
    met: sparse.csr_array, scores_of: Callable[[sparse.csr_array], NDArray[np.float32]], k: int
) -> NDArray[np.int32]:
    """Best ``k`` unmet items per user, users in chunks so that no matrix of all scores is ever held."""
    lists = np.zeros((met.shape[0], k), np.int32)
    for start in range(0, met.shape[0], CHUNK):
        rows = met[start : start + CHUNK]
        scores = scores_of(rows)
        scores[rows.nonzero()] = -np.inf
        scores[:, 0] = -np.inf
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        reachable = np.isfinite(np.take_along_axis(scores, best, axis=1))
        lists[start : start + CHUNK, : best.shape[1]] = np.where(reachable, best, 0)
    return lists
