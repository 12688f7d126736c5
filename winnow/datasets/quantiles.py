"""Quantiles of a numeric column, which a profile keeps, and how far two columns are apart by them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kstwobign

LEVELS = np.linspace(0.0, 1.0, 41)
"""Shares of the values at or below each quantile."""

_CHANCE = float(kstwobign.ppf(0.95))


def quantiles(values: NDArray[Any]) -> list[float]:
    """The quantiles of the finite values at :data:`LEVELS`; empty where there is none.

    Args:
        values: numbers [n].
    """
    finite = values[np.isfinite(values)]
    return np.quantile(finite.astype(np.float64), LEVELS).tolist() if len(finite) else []


def distance(before: list[float], now: list[float]) -> float:
    """The largest distance of the cumulative distributions, by their quantiles (Kolmogorov and Smirnov), 0 to 1.

    Args:
        before: :func:`quantiles` of one sample.
        now: of the other.
    """
    points = np.union1d(before, now)
    sides = (np.abs(a - b).max() for a, b in zip(_cumulative(before, points), _cumulative(now, points), strict=True))
    return float(max(sides))


def chance(before: int, now: int) -> float:
    """The distance below which 95 % of two samples of one population stay.

    Args:
        before: values of one sample, at least 1.
        now: of the other.
    """
    return min(1.0, _CHANCE * float(np.sqrt(1 / before + 1 / now)))


def _cumulative(found: list[float], points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The share of the values below each point, and at or below it; a value that many rows share has several levels."""
    values, first, count = np.unique(found, return_index=True, return_counts=True)
    at, end = LEVELS[first], LEVELS[first + count - 1]
    place = np.searchsorted(values, points)
    right = np.minimum(place, len(values) - 1)
    left = np.maximum(place - 1, 0)
    width = np.where(values[right] > values[left], values[right] - values[left], 1.0)
    between = end[left] + np.clip((points - values[left]) / width, 0.0, 1.0) * (at[right] - end[left])
    between = np.where(place == 0, 0.0, np.where(place == len(values), 1.0, between))
    exact = values[right] == points
    return np.where(exact, at[right], between), np.where(exact, end[right], between)
