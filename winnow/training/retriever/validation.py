"""The validation of a retriever: ndcg@10 of withheld moments among the whole catalog."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from winnow.features.table import FeatureSet, Interactions
from winnow.features.targets import newest_of_users
from winnow.training.retriever.trained import TrainedRetriever

_SCORES = 32_000_000
"""Scores in memory at a time, 4 bytes each."""


def validation_rows(
    log: Interactions,
    values: NDArray[np.float32],
    until: NDArray[np.int64],
    users: NDArray[np.bool_],
    limit: int,
) -> NDArray[np.int64]:
    """The moments that a validation asks: each user's newest target that is withheld and not refused.

    Args:
        log: the interactions.
        values: float32 [events], :func:`winnow.features.targets.target_values`.
        until: int64 [users], the row of each user after which events are withheld.
        users: bool [users], whose moments count.
        limit: moments at most; more are drawn from at random, the same for the same log.

    Returns:
        int64 [<= limit], rows of the log, each after at least one event of its user.
    """
    user, row = log.user, np.arange(len(values))
    newest = newest_of_users(log, users[user] & (values > 0) & (row >= until[user]) & (row > log.offsets[user]))
    rows = newest[newest >= 0]
    return rows if len(rows) <= limit else np.sort(np.random.default_rng(0).choice(rows, limit, replace=False))


def gains(model: TrainedRetriever, features: FeatureSet, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """The gain of the item of each of ``rows`` (:func:`validation_rows`) after the events before it.

    The mean of the gains is ndcg@10. The whole catalog is ranked, without the seen items unless repeats are allowed.

    Returns:
        float64 [len(rows)].
    """
    log = features.interactions
    block = max(1, _SCORES // (features.items + 1))
    found = [np.zeros(0)]
    for first in range(0, len(rows), block):
        part = rows[first : first + block]
        users = log.user_of(part)
        scores = torch.from_numpy(model.user_vectors(features, users, part)) @ model.item_vectors.T
        scores[:, 0] = -torch.inf
        if features.schema.repeats != "allow":
            scores[_seen(log.item, log.offsets[users], part)] = -torch.inf
        target = scores.gather(1, torch.from_numpy(log.item[part].astype(np.int64))[:, None])
        place = (scores > target).sum(1).numpy()
        found.append(np.where(place < 10, 1 / np.log2(place + 2), 0.0))
    return np.concatenate(found)


def _seen(item: NDArray[np.int32], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """The items of the rows ``starts[b]:ends[b]`` of the log, as indices (b, item) into a matrix of scores."""
    count = ends - starts
    user = np.repeat(np.arange(len(count)), count)
    rows = np.arange(len(user)) - np.repeat(np.cumsum(count) - count, count) + starts[user]
    return torch.from_numpy(user), torch.from_numpy(item[rows].astype(np.int64))
