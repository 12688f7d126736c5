"""Intervals of ratios of sums over users, by the bootstrap over users.

The studentised bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 12.5) is the one whose
coverage was kept where few rewards have large weights: there the estimate and its standard error rise together, which
bounds at equal distances, and percentiles of the resampled estimates, do not see. An empirical Bernstein bound holds
for any number of users, but is as wide as the largest weight, and so would conclude nothing (docs/decisions/0057).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from winnow.evaluation.off_policy.estimators import Ratio

CONFIDENCE = 0.95
RESAMPLES = 1000
_GROUPS = 2000
"""Users are put together into as many groups at most, whose resampling costs the same for every log."""


class Interval(NamedTuple):
    """An estimate with the ends of its interval."""

    value: float
    low: float
    high: float


def interval(ratio: Ratio, seed: int = 0) -> Interval:
    """The 95 % interval of a ratio; the same for the same seed.

    A resample whose standard error is 0, because it has no reward, says nothing about the distance between the two and
    is left out.
    """
    above, below = _grouped(ratio.above), _grouped(ratio.below)
    counts = np.random.default_rng(seed).poisson(1.0, (RESAMPLES, len(above))).astype(np.float64)
    value, error = _estimate(above, below, np.ones((1, len(above))))
    resampled, errors = _estimate(above, below, counts)
    told = errors > 0
    if not told.any():
        return Interval(ratio.value, ratio.value, ratio.value)
    distance = (resampled[told] - value) / errors[told]
    tail = (1.0 - CONFIDENCE) / 2
    smallest, largest = np.quantile(distance, [tail, 1.0 - tail])
    low, high = (ratio.scale * float(value.item() - far * error.item()) for far in (largest, smallest))
    return Interval(ratio.value, low, high)


def _grouped(amounts: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.bincount(np.arange(len(amounts)) % _GROUPS, amounts).astype(np.float64)


def _estimate(
    above: NDArray[np.float64], below: NDArray[np.float64], counts: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ratios and their standard errors (delta method) by resample: each float64 [resamples]."""
    moments = counts @ np.stack([above, below, above**2, above * below, below**2], axis=1)
    over = np.where(moments[:, 1] > 0, moments[:, 1], np.nan)
    value = moments[:, 0] / over
    spread = moments[:, 2] - 2 * value * moments[:, 3] + value**2 * moments[:, 4]
    return value, np.sqrt(np.maximum(spread, 0.0)) / over
