"""A reward model for the doubly robust estimator: the mean reward of a position, and what an item adds to it.

An item's effect is the mean of what its slots earned above their positions' means, shrunk towards 0 as by ``PRIOR``
further slots without an effect: that is the posterior mean of a normal effect. It holds for rewards of any sign. The
estimator stays unbiased however wrong the model is.
"""

import numpy as np
from numpy.typing import NDArray

from winnow.evaluation.off_policy.log import Log, Policy

FOLDS = 5
PRIOR = 20.0
"""Slots without an effect that an item's own slots are averaged with."""


def predictions(log: Log, policy: Policy) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Predict the reward of each slot by a model that has not seen the slot's user (cross-fitting).

    Chernozhukov et al., "Double/Debiased Machine Learning", 2018, explain why: a model that has seen a reward predicts
    it too well, and the estimate and its interval would be too sure.

    Returns:
        The predictions for the slots of the log, float64 [slots], and of the policy, float64 [m].
    """
    items = int(max(log.item.max(initial=0), policy.item.max(initial=0))) + 1
    positions = int(max(log.position.max(initial=0), policy.position.max(initial=0))) + 1
    fold = log.user % FOLDS
    of_log, of_policy = fold[log.request], fold[policy.request]
    logged, wanted = np.zeros(len(log.request)), np.zeros(len(policy.request))
    for number in range(FOLDS):
        table = _table(log, of_log != number, items, positions)
        for found, slots, inside in ((logged, log, of_log == number), (wanted, policy, of_policy == number)):
            found[inside] = table[slots.position[inside], slots.item[inside]]
    return logged, wanted


def _table(log: Log, rows: NDArray[np.bool_], items: int, positions: int) -> NDArray[np.float64]:
    """Expected reward by position and item, learned from some rows of the log: float64 [positions, items]."""
    item, position, reward = log.item[rows], log.position[rows], log.reward[rows]
    mean = np.bincount(position, reward, positions) / np.maximum(np.bincount(position, minlength=positions), 1)
    above = np.bincount(item, reward - mean[position], items)
    return np.add.outer(mean, above / (np.bincount(item, minlength=items) + PRIOR))
