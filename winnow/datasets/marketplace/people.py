"""The users of the demo marketplace: their features, and their tastes, which drift."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from winnow.datasets.marketplace.attributes import CATEGORY_NAMES, COLOUR_NAMES, COUNTRIES, SEGMENTS, STYLE_NAMES
from winnow.datasets.marketplace.catalog import DAY, DAYS, START

_FAINTEST = 0.01
_TYPICAL = 15.0
"""Factor of the categories that are typical of a segment in the draw of an aversion."""


@dataclass(frozen=True)
class People:
    """Users in index space.

    Attributes:
        age: int64 [users], years.
        country: int64 [users], index into ``COUNTRIES``.
        segment: int64 [users], index into ``SEGMENTS``.
        category: float64 [2, users, categories], shares: the first taste, and the one it drifts to.
        style: float64 [2, users, styles], likewise.
        colour: float64 [2, users, colours], likewise.
        budget: float64 [users], preferred price level, as a factor of the typical price.
        turning: float64 [users], ms: the time at which both tastes have the same weight.
        aversion: int64 [users], index into ``CATEGORY_NAMES``: a category whose items the user views as the tastes say,
            but does not take, and often dislikes.
    """

    age: NDArray[np.int64]
    country: NDArray[np.int64]
    segment: NDArray[np.int64]
    category: NDArray[np.float64]
    style: NDArray[np.float64]
    colour: NDArray[np.float64]
    budget: NDArray[np.float64]
    turning: NDArray[np.float64]
    aversion: NDArray[np.int64]

    def __len__(self) -> int:
        """Number of users."""
        return len(self.age)

    def drift(self, viewer: NDArray[np.int64], now: NDArray[np.int64] | int) -> NDArray[np.float64]:
        """The weight of the second taste of the users ``viewer`` at ``now`` (ms)."""
        drifted: NDArray[np.float64] = 1 / (1 + np.exp((self.turning[viewer] - now) / (6 * DAY)))
        return drifted


def make_people(users: int, rng: np.random.Generator) -> People:
    """Generate users.

    Taste in style depends on segment, in colour on country, in category (and budget) on age; aversion on segment.
    """
    age = np.clip(rng.gamma(6.0, 6.5, users), 16, 85).astype(np.int64)
    country = rng.integers(len(COUNTRIES), size=users)
    segment = rng.integers(len(SEGMENTS), size=users)
    leaning = np.full((users, len(CATEGORY_NAMES)), 0.12)
    # The list of categories has furniture, then clothes, then music; the young prefer music.
    leaning[:, :4] += 0.25 * (age[:, None] > 45)
    leaning[:, 8:] += 0.25 * (age[:, None] < 30)
    category = _tastes(leaning, rng)
    return People(
        age,
        country,
        segment,
        category,
        _tastes(0.12 + 0.6 * np.eye(len(SEGMENTS), len(STYLE_NAMES))[segment], rng),
        _tastes(0.15 + 0.4 * np.eye(len(COUNTRIES), len(COLOUR_NAMES))[country], rng),
        np.exp(rng.normal(0.008 * (age - 40), 0.3)),
        rng.uniform(START, START + 1.6 * DAYS * DAY, users),
        _aversions(category.mean(axis=0), segment, rng),
    )


def _tastes(leaning: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Two draws from the Dirichlet distribution of each row, the second drawn towards the first."""
    drawn = rng.standard_gamma(np.stack([leaning, leaning])) + _FAINTEST
    shares = drawn / drawn.sum(axis=-1, keepdims=True)
    shares[1] = (shares[0] + 2 * shares[1]) / 3
    return np.asarray(shares)


def _aversions(
    category: NDArray[np.float64], segment: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """A category that each user views now and then, not the favourite; two categories are typical of each segment."""
    leaning = category.copy()
    leaning[np.arange(len(category)), category.argmax(axis=1)] = 0
    typical = np.arange(len(CATEGORY_NAMES)) * len(SEGMENTS) // len(CATEGORY_NAMES) == segment[:, None]
    sums = np.cumsum(leaning * np.where(typical, _TYPICAL, 1.0), axis=1)
    drawn: NDArray[np.int64] = np.count_nonzero(rng.random((len(category), 1)) * sums[:, -1:] >= sums, axis=1)
    return drawn
