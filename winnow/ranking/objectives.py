"""The order of candidates: what a recommendation is worth, from the ranker's probabilities and the types' weights.

The value of a candidate is the probability of an interaction times the worth of one: ``click * sum(weight[t] *
probability[t])`` over the event types ``t``, each probability given an interaction (ESMM factors a conversion in the
same way: Ma et al., 2018).
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

CLICK, TYPES, CONVERSION = 0, 1, -1
"""Columns of the ranker's ``probabilities``: of an interaction, then of each event type given one; the last column is
of any conversion given one."""

_LEAST = 0.01
"""Share of the largest weight below which the worth of an interaction is no longer on the logarithmic scale."""


def weights_of(types: Sequence[str], values: Sequence[float], *overrides: Mapping[str, float]) -> NDArray[np.float64]:
    """The weight of each event type: its value, unless an override names it; later overrides win. float64 [E]."""
    weights = dict(zip(types, values, strict=True))
    for override in overrides:
        weights |= {name: weight for name, weight in override.items() if name in weights}
    return np.array(list(weights.values()), np.float64)


def terms(probabilities: NDArray[np.float32], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each event type adds to the value of each candidate.

    Args:
        probabilities: float32 [N, E + 2], the ranker's.
        weights: float64 [E].

    Returns:
        float64 [N, E]; a candidate's value is the sum of its row.
    """
    types = probabilities[:, TYPES : TYPES + len(weights)].astype(np.float64)
    return probabilities[:, CLICK, None].astype(np.float64) * types * weights


def values(probabilities: NDArray[np.float32], weights: NDArray[np.float64]) -> NDArray[np.float32]:
    """What showing each candidate is worth, float32 [N]: the sums of :func:`terms`."""
    return (probabilities[:, CLICK] * _worth(probabilities, weights)).astype(np.float32)


def value_scores(probabilities: NDArray[np.float32], weights: NDArray[np.float64]) -> NDArray[np.float32]:
    """The score to order by: the logarithm of the value, so that a constant worth keeps the distances of the clicks.

    Where an interaction is worth next to nothing or less, the logarithm continues as its tangent: such candidates come
    last, the worst at the end.

    Args:
        probabilities: float32 [N, E + 2], the ranker's.
        weights: float64 [E].

    Returns:
        float32 [N].
    """
    worth = _worth(probabilities, weights)
    least = max(_LEAST * float(np.abs(weights).max(initial=0.0)), 1e-9)
    bounded = np.maximum(worth, least)
    log_worth = np.log(bounded) + (worth - bounded) / least
    log_click = np.log(np.maximum(probabilities[:, CLICK].astype(np.float64), 1e-30))
    return (log_click + log_worth).astype(np.float32)


def _worth(probabilities: NDArray[np.float32], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """What an interaction with each candidate is worth, float64 [N]."""
    return probabilities[:, TYPES : TYPES + len(weights)].astype(np.float64) @ weights
