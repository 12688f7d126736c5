"""The list that a user sees on the marketplace, and the choice of the item to view in it.

The next item depends on the user's taste (which drifts), on the item before (the same style and category, or its
complement), on the season's fashion, on popularity, on the price, and on the position in the list (position bias).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from winnow.datasets.marketplace.attributes import CATEGORY_NAMES, COMPLEMENTS, STYLE_NAMES
from winnow.datasets.marketplace.catalog import DAY, DAYS, START, WITHDRAWN, Catalog
from winnow.datasets.marketplace.people import People

_RELATED, _TO_TASTE, _POPULAR, _ESTABLISHED = 14, 10, 5, 1
"""Number of items of each origin in a list."""
LIST = _RELATED + _TO_TASTE + _POPULAR + _ESTABLISHED
"""Number of items in a list."""

_POSITION_BIAS = 0.5
_ASPIRATION = 0.2
"""The price that attracts most views is this much above the budget (natural logarithm)."""
_SHARPNESS = 1.6
"""Inverse temperature of a choice: larger values leave less to chance."""
_SEEN_SLOTS = 2048


class Viewers(NamedTuple):
    """Users who each see a list; every array is [n].

    Attributes:
        user: row of the user.
        taste: 0 or 1, the taste that the user follows this time.
        before: row of the item before.
        fresh: whether the list does not depend on the item before, as the first of a visit.
        now: ms.
    """

    user: NDArray[np.int64]
    taste: NDArray[np.int64]
    before: NDArray[np.int64]
    fresh: NDArray[np.bool_]
    now: NDArray[np.int64]


class Seen:
    """Which items each user has viewed. Items share slots in a large catalog, so that memory is bounded."""

    def __init__(self, users: int, items: int) -> None:
        self._slots = np.zeros((users, min(items, _SEEN_SLOTS)), dtype=bool)

    def add(self, user: NDArray[np.int64], item: NDArray[np.int64]) -> None:
        """Mark views; both arrays are [n]."""
        self._slots[user, item % self._slots.shape[1]] = True

    def has(self, user: NDArray[np.int64], item: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether the users have viewed the items; the arguments broadcast."""
        found: NDArray[np.bool_] = self._slots[user, item % self._slots.shape[1]]
        return found


class Shelf:
    """Draws items by popularity from a cell: one category in one style."""

    def __init__(self, catalog: Catalog) -> None:
        cell = catalog.category * len(STYLE_NAMES) + catalog.style
        self._items = np.argsort(cell, kind="stable")
        self._sums = np.concatenate([[0.0], np.cumsum(catalog.appeal[self._items])])
        self._bounds = np.searchsorted(cell[self._items], np.arange(len(CATEGORY_NAMES) * len(STYLE_NAMES) + 1))
        self._old = np.flatnonzero(catalog.created_at < START)

    def of(self, category: NDArray[np.int64], style: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """One item of each cell, or of a neighbouring cell where it is empty."""
        cell = category * len(STYLE_NAMES) + style
        low, high = self._sums[self._bounds[cell]], self._sums[self._bounds[cell + 1]]
        return self._at(low + rng.random(cell.shape) * (high - low))

    def any(self, shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.int64]:
        """Items of all cells."""
        return self._at(rng.random(shape) * self._sums[-1])

    def established(self, shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.int64]:
        """Items that are older than the log."""
        return self._old[rng.integers(len(self._old), size=shape)]

    def _at(self, sums: NDArray[np.float64]) -> NDArray[np.int64]:
        place = np.searchsorted(self._sums, sums, side="right") - 1
        return self._items[np.clip(place, 0, len(self._items) - 1)]


def usual_lists(
    catalog: Catalog, people: People, shelf: Shelf, viewers: Viewers, rng: np.random.Generator
) -> NDArray[np.int64]:
    """The lists that the marketplace shows without a recommender, in the order of display; int64 [n, ``LIST``]."""
    likes_category = people.category[viewers.taste, viewers.user]
    likes_style = people.style[viewers.taste, viewers.user]
    shape = len(viewers.user), _RELATED + _TO_TASTE
    category, style = _drawn(likes_category, shape[1], rng), _drawn(likes_style, shape[1], rng)
    kind = catalog.category[viewers.before][:, None]
    goes_with = np.where(rng.random(shape) < 0.6, COMPLEMENTS[kind], kind)
    follows = (np.arange(shape[1]) < _RELATED) & ~viewers.fresh[:, None]
    category = np.where(follows, goes_with, category)
    style = np.where(follows, catalog.style[viewers.before][:, None], style)
    shown = np.hstack(
        [
            shelf.of(category, style, rng),
            shelf.any((shape[0], _POPULAR), rng),
            shelf.established((shape[0], _ESTABLISHED), rng),
        ]
    )
    popularity = np.log(catalog.appeal)[shown]
    order = np.argsort(-(popularity + rng.normal(0.0, 1.0, shown.shape)), axis=1)
    return np.take_along_axis(shown, order, axis=1)


def choice_logits(
    catalog: Catalog, people: People, seen: Seen, viewers: Viewers, shown: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Logits of the choice of the item to view.

    Args:
        catalog: the items.
        people: the users.
        seen: what they viewed before.
        viewers: the users who look.
        shown: int64 [n, places], rows of items in the order of display.

    Returns:
        float64 [n, places]; the softmax of a row is the distribution of the choice. An item that does not exist yet,
        or was withdrawn, has minus infinity.
    """
    user, taste, before, now = (array[:, None] for array in (viewers.user, viewers.taste, viewers.before, viewers.now))
    continues = ~viewers.fresh[:, None]
    kind = catalog.category[before]
    age = (now - catalog.created_at[shown]) / DAY
    same_style = catalog.style[shown] == catalog.style[before]
    same_category = catalog.category[shown] == kind
    complement = catalog.category[shown] == COMPLEMENTS[kind]
    same_colour = catalog.colour[shown] == catalog.colour[before]
    same_material = catalog.material[shown] == catalog.material[before]
    season = 2 * np.pi * ((now - START) / (DAYS * DAY) + catalog.style[shown] / len(STYLE_NAMES))
    price = np.log(catalog.price[shown] / catalog.typical[shown] / people.budget[user])
    reason = (
        0.5 * np.log(people.category[taste, user, catalog.category[shown]])
        + 0.5 * np.log(people.style[taste, user, catalog.style[shown]])
        + 0.7 * np.log(people.colour[taste, user, catalog.colour[shown]])
        + continues * (same_style * (0.8 * complement + 0.4 * same_category) + 0.8 * same_colour)
        + continues * 0.5 * same_material
        - 0.4 * np.abs(price - _ASPIRATION)
        + 0.3 * np.sin(season)
        + 0.8 * np.exp(-np.maximum(age, 0) / 7)
        - _POSITION_BIAS * np.log1p(np.arange(shown.shape[1]))
        - 6.0 * seen.has(user, shown)
    )
    reason[(age < 0) | (~catalog.available[shown] & (now >= WITHDRAWN))] = -np.inf
    logits: NDArray[np.float64] = _SHARPNESS * reason
    return logits


def _drawn(shares: NDArray[np.float64], times: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """``times`` draws from each row of shares; int64 [rows, times]."""
    sums = np.cumsum(shares, axis=1)[:, None, :-1]
    drawn: NDArray[np.int64] = np.count_nonzero(rng.random((len(shares), times))[..., None] > sums, axis=-1)
    return drawn
