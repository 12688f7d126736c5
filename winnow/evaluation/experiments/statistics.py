"""Compares the rewards per user of the arms of an experiment.

The user is the unit: the arm is drawn per user, and what one user earns in several requests is not independent. The
difference of two means has Welch's interval (Welch, 1947), because the variances of the arms differ where their means
do. The lift has Fieller's interval (Fieller, 1954) with the same quantile, so that it contains 0 exactly where the
interval of the difference does; the delta method would contradict the test near its bound.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

CONFIDENCE = 0.95
"""Of all comparisons of an experiment together: with several arms each interval is wider (Bonferroni)."""

FEWEST_USERS = 100
FEWEST_REWARDS = 30
RATIO_ALARM = 0.001
"""P-value of the numbers of users under the declared shares below which the arms are not comparable."""


class Interval(NamedTuple):
    """An estimate with the ends of its interval."""

    value: float
    low: float
    high: float


class Comparison(NamedTuple):
    """One arm against the first.

    Attributes:
        arm: the arm's name.
        difference: of the rewards per user.
        lift: the difference as a share of the first arm's reward per user; `None` where the latter is not clearly
            different from 0.
        p_value: of Welch's test that there is no difference; not corrected for the number of arms.
        verdict: ``higher`` or ``lower`` where the interval of the difference does not contain 0, otherwise
            ``undecided``.
    """

    arm: str
    difference: Interval
    lift: Interval | None
    p_value: float
    verdict: str


def sample_ratio(users: Sequence[int], shares: Sequence[float]) -> float:
    """The p-value of Pearson's chi-square test that users are distributed by the shares of their arms."""
    counts, expected = np.array(users, float), np.array(shares) * sum(users)
    return float(stats.chi2.sf(((counts - expected) ** 2 / expected).sum(), len(users) - 1))


def effective_rewards(rewards: NDArray[np.float64]) -> float:
    """Kish's effective number of rewards: as many equal ones say as much, so that one huge reward counts as one."""
    squares = float((rewards**2).sum())
    return float(np.abs(rewards).sum()) ** 2 / squares if squares else 0.0


def per_user(rewards: NDArray[np.float64]) -> Interval:
    """The mean of some users' rewards, at least two, with Student's 95 % interval."""
    mean, error = float(rewards.mean()), float(rewards.std(ddof=1)) / len(rewards) ** 0.5
    far = float(stats.t.ppf(0.5 + CONFIDENCE / 2, len(rewards) - 1)) * error
    return Interval(mean, mean - far, mean + far)


def compare(arm: str, first: NDArray[np.float64], other: NDArray[np.float64], comparisons: int = 1) -> Comparison:
    """Compare an arm's rewards per user with those of the first arm.

    Args:
        arm: name of the other arm.
        first: float64 [users], at least two.
        other: likewise.
        comparisons: number of comparisons whose intervals hold together with a confidence of :data:`CONFIDENCE`.
    """
    (base, base_error), (mean, error) = _mean_and_error(first), _mean_and_error(other)
    squared = base_error**2 + error**2
    fourth = base_error**4 / (len(first) - 1) + error**4 / (len(other) - 1)
    # Where all users of both arms earned the same, nothing varies.
    freedom = squared**2 / fourth if fourth else math.inf
    quantile = float(stats.t.ppf(1.0 - (1.0 - CONFIDENCE) / (2 * comparisons), freedom))
    value, far = mean - base, quantile * squared**0.5
    difference = Interval(value, value - far, value + far)
    return Comparison(
        arm,
        difference,
        _lift(base, base_error, mean, error, quantile),
        float(2 * stats.t.sf(abs(value) / squared**0.5, freedom)) if squared else float(value == 0),
        "higher" if difference.low > 0 else "lower" if difference.high < 0 else "undecided",
    )


def _mean_and_error(rewards: NDArray[np.float64]) -> tuple[float, float]:
    return float(rewards.mean()), float(rewards.std(ddof=1)) / len(rewards) ** 0.5


def _lift(base: float, base_error: float, mean: float, error: float, quantile: float) -> Interval | None:
    """Fieller's interval of ``mean / base - 1``, for a negative base of ``1 - mean / base``: up is better.

    It has all ratios ``r`` for which ``mean - r * base`` is within ``quantile`` of its standard errors of 0; they are
    an interval only where the base itself is not.
    """
    square = base**2 - quantile**2 * base_error**2
    if square <= 0:
        return None
    middle, rest = mean * base, mean**2 - quantile**2 * error**2
    far = (middle**2 - square * rest) ** 0.5
    ratios = (mean / base, (middle - far) / square, (middle + far) / square)
    value, low, high = (ratio - 1.0 for ratio in ratios)
    return Interval(value, low, high) if base > 0 else Interval(-value, -high, -low)
