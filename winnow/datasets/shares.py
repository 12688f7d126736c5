"""Two samples of a categorical column: how far their shares are apart, and how much of it chance explains."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2

Shares = Mapping[str, float]
"""Value -> share of the rows that have it."""


class ShareChange(NamedTuple):
    """The share of a value in both samples.

    Attributes:
        value: the value.
        before: its share of the rows of the first sample.
        now: its share of the rows of the second sample.
    """

    value: str
    before: float
    now: float

    @property
    def amount(self) -> float:
        """By how much the share differs, between 0 and 1."""
        # Rounded, because 0.6 less 0.5 is below 0.1 in floating point.
        return round(abs(self.now - self.before), 9)


class Difference(NamedTuple):
    """The difference of two samples.

    Attributes:
        distance: the Jensen-Shannon distance (base 2), between 0 (the same) and 1.
        chance: the distance that 95 % of such samples of one population would stay below.
        changes: the shares, the largest change first.
    """

    distance: float
    chance: float
    changes: list[ShareChange]


def shares_of(counts: Mapping[str, int]) -> dict[str, float]:
    """Counts as shares of their sum; empty where the sum is 0."""
    total = sum(counts.values())
    return {name: count / total for name, count in counts.items()} if total else {}


def changes(before: Shares, now: Shares) -> list[ShareChange]:
    """The share of every value of either sample, the largest change first."""
    values = sorted(before.keys() | now.keys())
    found = [ShareChange(value, before.get(value, 0.0), now.get(value, 0.0)) for value in values]
    return sorted(found, key=lambda change: -change.amount)


def difference(before: Shares, now: Shares, rows: tuple[int, int]) -> Difference:
    """Compare two samples.

    Args:
        before: shares of the first sample.
        now: shares of the second sample.
        rows: rows of each sample.
    """
    values = sorted(before.keys() | now.keys())
    old, new = (np.array([shares.get(value, 0.0) for value in values]) for shares in (before, now))
    # Of samples of one population, Lin's divergence is about a chi-squared variable (Lin, 1991, for equal weights).
    spread = chi2.ppf(0.95, max(1, len(values) - 1)) / 8 / np.log(2)
    distance = 0.0 if before == now else 1.0
    if old.any() and new.any():
        distance = float(jensenshannon(old, new, 2.0))
    chance = min(1.0, float(np.sqrt(spread * sparsity(*rows))))
    return Difference(distance, chance, changes(before, now))


def sparsity(before: int, now: int) -> float:
    """The factor by which a squared distance of two samples of these sizes varies."""
    return 1 / max(1, before) + 1 / max(1, now)
