"""Boosts: factors on the worth of candidates, whatever the scale of their scores; and fatigue, a factor by showings."""

import numpy as np
from numpy.typing import NDArray

from winnow.settings.business_rules import Fatigue


def boosted(scores: NDArray[np.float32], log_factors: NDArray[np.float64], logarithmic: bool) -> NDArray[np.float32]:
    """Scores with their factors.

    A score that is the logarithm of a value gets the logarithm of the factor, so that the value is multiplied by it. On
    any other scale (places, cosines) a factor has no meaning of its own; there the logarithm is in units of the
    standard deviation of the scores. Either way a larger factor gives a larger score, whatever its sign, and equal
    factors for all change no order.

    Args:
        scores: float32 [n].
        log_factors: float64 [n], 0 for candidates without a factor.
        logarithmic: whether the scores are logarithms of a value.

    Returns:
        float32 [n].
    """
    if not len(scores):
        return scores
    unit = 1.0 if logarithmic else float(scores.std(dtype=np.float64)) or 1.0
    return (scores.astype(np.float64) + unit * log_factors).astype(np.float32)


def fatigue_factors(shown: NDArray[np.float64], fatigue: Fatigue) -> NDArray[np.float64]:
    """The factor of items by how often they were shown without a positive event.

    Args:
        shown: float64 [n], how often each was shown, each showing halved every ``half_life_hours``.
        fatigue: the rule.

    Returns:
        float64 [n]: 1 up to ``after - 1`` showings, ``weight`` from ``after`` on, and a power of it between them.
    """
    return np.asarray(fatigue.weight ** np.clip(shown - (fatigue.after - 1), 0.0, 1.0), np.float64)
