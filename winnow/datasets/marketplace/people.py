"""The people: who they are, and what they like, which changes with time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from winnow.datasets.marketplace.attributes import CATEGORY_NAMES, COLOUR_NAMES, COUNTRIES, SEGMENTS, STYLE_NAMES
from winnow.datasets.marketplace.catalog import DAY, DAYS, START

_FAINTEST = 0.01


@dataclass(frozen=True)
class People:
    """Users in index space.

    Attributes:
        age: int64 [users], years.
        country: int64 [users], index into ``COUNTRIES``.
        segment: int64 [users], index into ``SEGMENTS``.
        category: float64 [2, users, categories], shares: the taste people come with, and the one they drift to.
        style: float64 [2, users, styles], likewise.
        colour: float64 [2, users, colours], likewise.
        budget: float64 [users], the price level they feel at home with, as a factor of what is typical.
        turning: float64 [users], when the second taste weighs as much as the first, ms.
    """

    age: NDArray[np.int64]
    country: NDArray[np.int64]
    segment: NDArray[np.int64]
    category: NDArray[np.float64]
    style: NDArray[np.float64]
    colour: NDArray[np.float64]
    budget: NDArray[np.float64]
    turning: NDArray[np.float64]

    def __len__(self) -> int:
        """How many people there are."""
        return len(self.age)


def make_people(users: int, rng: np.random.Generator) -> People:
    """Invent people. Segment says something of style, country of colour, and age of category and budget."""
    age = np.clip(rng.gamma(6.0, 6.5, users), 16, 85).astype(np.int64)
    country = rng.integers(len(COUNTRIES), size=users)
    segment = rng.integers(len(SEGMENTS), size=users)
    leaning = np.full((users, len(CATEGORY_NAMES)), 0.12)
    # Furniture, clothes and music come in that order in the list of categories; the young lean to music.
    leaning[:, :4] += 0.25 * (age[:, None] > 45)
    leaning[:, 8:] += 0.25 * (age[:, None] < 30)
    return People(
        age,
        country,
        segment,
        _tastes(leaning, rng),
        _tastes(0.12 + 0.6 * np.eye(len(SEGMENTS), len(STYLE_NAMES))[segment], rng),
        _tastes(0.15 + 0.4 * np.eye(len(COUNTRIES), len(COLOUR_NAMES))[country], rng),
        np.exp(rng.normal(0.008 * (age - 40), 0.3)),
        rng.uniform(START, START + 1.6 * DAYS * DAY, users),
    )


def _tastes(leaning: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Two draws from the Dirichlet distribution of each row, the second one half-way from the first."""
    drawn = rng.standard_gamma(np.stack([leaning, leaning])) + _FAINTEST
    shares = drawn / drawn.sum(axis=-1, keepdims=True)
    shares[1] = (shares[0] + 2 * shares[1]) / 3
    return np.asarray(shares)
