"""Baseline recommenders: popularity, item-to-item cosine similarity, EASE, and what a user took most.

Each returns every user's best items, most relevant first. They learn from events of positive value.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from winnow.features.table import Interactions

CHUNK = 1024

Users = NDArray[np.int64] | None


@dataclass(frozen=True)
class Past:
    """What the baselines know of the users.

    Attributes:
        taken: float32 [users, items + 1], number of events of positive value.
        hidden: bool [users, items + 1], the items that are left out of each user's list.
    """

    taken: sparse.csr_array
    hidden: sparse.csr_array

    @classmethod
    def of(cls, log: Interactions, items: int, event_values: Sequence[float], repeats: bool = False) -> "Past":
        """The past of a log.

        Args:
            log: the interactions.
            items: number of items, without the padding item.
            event_values: value of each event type, in the order of the codes.
            repeats: whether lists contain seen items, whatever the value of their events.
        """
        user = log.user
        positive = np.array([0.0, *event_values])[log.event] * log.grade > 0
        # Sums the entries of a pair.
        taken = sparse.csr_array(
            (np.ones(int(positive.sum()), np.float32), (user[positive], log.item[positive])),
            shape=(log.users, items + 1),
        )
        shown = slice(0) if repeats else slice(None)
        seen = np.ones(len(user), np.bool_)[shown], (user[shown], log.item[shown])
        return cls(taken, sparse.csr_array(seen, shape=taken.shape))

    @property
    def liked(self) -> sparse.csr_array:
        """0 or 1: float32 [users, items + 1]."""
        liked = self.taken.copy()
        liked.data[:] = 1.0
        return liked


def popularity(past: Past, k: int, users: Users = None) -> NDArray[np.int32]:
    """Recommend the items with the most users: one ranking for all users.

    Args:
        past: the users' past.
        k: length of the lists.
        users: int64 [users], rows of the users who get a list; all of them where it is missing.

    Returns:
        int32 [users, k], item indices, padded with 0.
    """
    users_of_item = _users_of_item(past)
    return _top(past, lambda rows: np.tile(users_of_item, (len(rows), 1)), k, users)


def most_taken(past: Past, k: int, users: Users = None) -> NDArray[np.int32]:
    """Recommend what the user took most often, then the items with the most users.

    Args:
        past: the users' past.
        k: length of the lists.
        users: int64 [users], rows of the users who get a list; all of them where it is missing.

    Returns:
        int32 [users, k], item indices, padded with 0.
    """
    users_of_item = _users_of_item(past)
    # Below 1, so that it only orders items that the user took equally often.
    fraction = users_of_item / (users_of_item.max() + 1)
    return _top(past, lambda rows: np.asarray(past.taken[rows].todense(), np.float32) + fraction, k, users)


def item_knn(past: Past, k: int, neighbours: int = 20, users: Users = None) -> NDArray[np.int32]:
    """Score items by the cosine similarities to their nearest neighbours in the history (Deshpande, Karypis, 2004).

    Args:
        past: the users' past.
        k: length of the lists.
        neighbours: number of nearest neighbours per item.
        users: int64 [users], rows of the users who get a list; all of them where it is missing.

    Returns:
        int32 [users, k], item indices, padded with 0.
    """
    liked = past.liked
    length = np.sqrt(np.asarray(liked.sum(axis=0)).ravel())
    unit = liked @ sparse.diags_array(1.0 / np.maximum(length, 1.0))
    similar = sparse.lil_array(unit.T @ unit)
    similar.setdiag(0.0)
    kept = _strongest(sparse.csr_array(similar), neighbours)
    return _top(past, lambda rows: np.asarray((liked[rows] @ kept.T).todense(), np.float32), k, users)


def ease(past: Past, k: int, regularisation: float = 250.0, users: Users = None) -> NDArray[np.int32]:
    """Embarrassingly shallow autoencoder (Steck, 2019): ridge regression of every item on all others, in closed form.

    Args:
        past: the users' past; run time is cubic in the number of items.
        k: length of the lists.
        regularisation: added to the Gram matrix's diagonal.
        users: int64 [users], rows of the users who get a list; all of them where it is missing.

    Returns:
        int32 [users, k], item indices, padded with 0.
    """
    liked = past.liked
    gram = np.asarray((liked.T @ liked).todense(), np.float64)
    gram[np.diag_indices_from(gram)] += regularisation
    inverse = np.linalg.inv(gram)
    weights = (inverse / -np.diag(inverse)).astype(np.float32)
    np.fill_diagonal(weights, 0.0)
    return _top(past, lambda rows: np.asarray(liked[rows] @ weights, np.float32), k, users)


def _users_of_item(past: Past) -> NDArray[np.float32]:
    """How many users took each item: float32 [items + 1]."""
    return np.asarray(past.liked.sum(axis=0), np.float32).ravel()


def _strongest(matrix: sparse.csr_array, kept: int) -> sparse.csr_array:
    """Keep the ``kept`` largest entries of each row."""
    for row in range(matrix.shape[0]):
        values = matrix.data[matrix.indptr[row] : matrix.indptr[row + 1]]
        if len(values) > kept:
            values[np.argsort(-values, kind="stable")[kept:]] = 0.0
    matrix.eliminate_zeros()
    return matrix


def _top(
    past: Past, scores_of: Callable[[NDArray[np.int64]], NDArray[np.float32]], k: int, users: Users
) -> NDArray[np.int32]:
    """The best ``k`` items per user; users are scored in chunks to bound the size of the score matrix."""
    asked = np.arange(past.taken.shape[0]) if users is None else users
    lists = np.zeros((len(asked), k), np.int32)
    for start in range(0, len(asked), CHUNK):
        rows = asked[start : start + CHUNK]
        scores = scores_of(rows)
        scores[past.hidden[rows].nonzero()] = -np.inf
        scores[:, 0] = -np.inf
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        reachable = np.isfinite(np.take_along_axis(scores, best, axis=1))
        lists[start : start + len(rows), : best.shape[1]] = np.where(reachable, best, 0)
    return lists
