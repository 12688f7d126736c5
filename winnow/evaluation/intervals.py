"""Estimates with intervals: a bootstrap over the users, in which all recommenders share the resamples.

A resample draws as many users as there are, with replacement. Every recommender is measured on the same users of a
resample, so the difference of two of them is paired (Efron and Tibshirani, An Introduction to the Bootstrap, 1993,
chapters 13 and 16). ``scipy.stats.bootstrap`` would resample each of some fifty metrics by itself.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from winnow.evaluation.record import Estimate
from winnow.ranking.user_metrics import Ratio

RESAMPLES = 1000
"""Samples of the bootstrap."""

_ENDS = (0.025, 0.975)
_AT_ONCE = 2_000_000
"""Drawn users in memory at once, 16 MB."""

_DIGITS = 6

Ratios = Mapping[str, Mapping[str, Ratio]]
"""Recommender -> metric -> the users' parts."""


class Resampled(NamedTuple):
    """A metric, and what it is in each resample.

    Attributes:
        value: of the users.
        resamples: float64 [:data:`RESAMPLES`].
    """

    value: float
    resamples: NDArray[np.float64]

    def estimate(self) -> Estimate:
        """The value, and the ends of the interval."""
        return _estimate(self.value, self.resamples)

    def minus(self, other: "Resampled") -> Estimate:
        """The paired difference."""
        return _estimate(self.value - other.value, self.resamples - other.resamples)


def resampled(ratios: Ratios, seed: int = 0) -> dict[str, dict[str, Resampled]]:
    """Bootstrap every metric of every recommender on the same resamples.

    Args:
        ratios: of the same users, one at least.
        seed: of the draws.
    """
    names = [(recommender, metric) for recommender, metrics in ratios.items() for metric in metrics]
    parts = [ratios[recommender][metric] for recommender, metric in names]
    columns = np.stack([column for part in parts for column in part], axis=1)
    sums, rng, users = [columns.sum(axis=0)[None]], np.random.default_rng(seed), len(columns)
    step = max(1, _AT_ONCE // users)
    for start in range(0, RESAMPLES, step):
        drawn = min(step, RESAMPLES - start)
        places = rng.integers(0, users, (drawn, users)) + np.arange(drawn)[:, None] * users
        counts = np.bincount(places.ravel(), minlength=drawn * users).reshape(drawn, users)
        sums.append(counts @ columns)
    gained, possible = np.moveaxis(np.concatenate(sums).reshape(RESAMPLES + 1, len(names), 2), 2, 0)
    # Nothing could be gained: 0, as the metrics are defined.
    found = np.divide(gained, possible, out=np.zeros_like(gained), where=possible > 0)
    result: dict[str, dict[str, Resampled]] = {recommender: {} for recommender in ratios}
    for (recommender, metric), column in zip(names, found.T, strict=True):
        result[recommender][metric] = Resampled(float(column[0]), column[1:])
    return result


def exact(value: float) -> Estimate:
    """A figure that describes these users rather than estimating a mean over all: its interval is the value."""
    return _estimate(value, np.array([value]))


def _estimate(value: float, resamples: NDArray[np.float64]) -> Estimate:
    low, high = np.quantile(resamples, _ENDS)
    return Estimate(value=round(value, _DIGITS), low=round(float(low), _DIGITS), high=round(float(high), _DIGITS))
