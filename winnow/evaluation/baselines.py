"""Baseline recommenders: popularity, item-to-item cosine similarity, EASE.

Each returns every user's best items, most relevant first, without the items of the user's history.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from winnow.features.table import Interactions

CHUNK = 1024


def popularity(log: Interactions, items: int, k: int) -> NDArray[np.int32]:
    """Recommend the items with the most users: one ranking for all users.

    Args:
        log: the interactions.
        items: number of items, without the padding item.
        k: length of the lists.

    Returns:
        int32 [users, k], item indices, padded with 0.
    """
    seen = _seen(log, items)
    users_of_item = np.asarray(seen.sum(axis=0), np.float32).ravel()
    return _top(seen, lambda rows: np.tile(users_of_item, (rows.shape[0], 1)), k)


def item_knn(log: Interactions, items: int, k: int, neighbours: int = 20) -> NDArray[np.int32]:
    """Score items by the cosine similarities to their nearest neighbours in the history (Deshpande, Karypis, 2004).

    Args:
        log: the interactions.
        items: number of items, without the padding item.
        k: length of the lists.
        neighbours: number of nearest neighbours per item.

    Returns:
        int32 [users, k], item indices, padded with 0.
    """
    seen = _seen(log, items)
    length = np.sqrt(np.asarray(seen.sum(axis=0)).ravel())
    unit = seen @ sparse.diags_array(1.0 / np.maximum(length, 1.0))
    similar = sparse.lil_array(unit.T @ unit)
    similar.setdiag(0.0)
    kept = _strongest(sparse.csr_array(similar), neighbours)
    return _top(seen, lambda rows: np.asarray((rows @ kept.T).todense(), np.float32), k)


def ease(log: Interactions, items: int, k: int, regularisation: float = 250.0) -> NDArray[np.int32]:
    """Embarrassingly shallow autoencoder (Steck, 2019): ridge regression of every item on all others, in closed form.

    Args:
        log: the interactions.
        items: number of items, without the padding item; run time is cubic in it.
        k: length of the lists.
        regularisation: added to the Gram matrix's diagonal.

    Returns:
        int32 [users, k], item indices, padded with 0.
    """
    seen = _seen(log, items)
    gram = np.asarray((seen.T @ seen).todense(), np.float64)
    gram[np.diag_indices_from(gram)] += regularisation
    inverse = np.linalg.inv(gram)
    weights = (inverse / -np.diag(inverse)).astype(np.float32)
    np.fill_diagonal(weights, 0.0)
    return _top(seen, lambda rows: np.asarray(rows @ weights, np.float32), k)


def _seen(log: Interactions, items: int) -> sparse.csr_array:
    """The user-item matrix: 0 or 1, [users, items + 1]."""
    user = np.repeat(np.arange(log.users), np.diff(log.offsets))
    seen = sparse.csr_array((np.ones(len(user), np.float32), (user, log.item)), shape=(log.users, items + 1))
    seen.data[:] = 1.0
    return seen


def _strongest(matrix: sparse.csr_array, kept: int) -> sparse.csr_array:
    """Keep the ``kept`` largest entries of each row."""
    for row in range(matrix.shape[0]):
        values = matrix.data[matrix.indptr[row] : matrix.indptr[row + 1]]
        if len(values) > kept:
            values[np.argsort(-values, kind="stable")[kept:]] = 0.0
    matrix.eliminate_zeros()
    return matrix


def _top(
    seen: sparse.csr_array, scores_of: Callable[[sparse.csr_array], NDArray[np.float32]], k: int
) -> NDArray[np.int32]:
    """The best ``k`` unseen items per user; users are scored in chunks to bound the size of the score matrix."""
    lists = np.zeros((seen.shape[0], k), np.int32)
    for start in range(0, seen.shape[0], CHUNK):
        rows = seen[start : start + CHUNK]
        scores = scores_of(rows)
        scores[rows.nonzero()] = -np.inf
        scores[:, 0] = -np.inf
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        reachable = np.isfinite(np.take_along_axis(scores, best, axis=1))
        lists[start : start + CHUNK, : best.shape[1]] = np.where(reachable, best, 0)
    return lists
