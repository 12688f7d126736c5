"""Simulation of the users: a user sees a list, views one item, and may add it to the cart and buy it.

All users are simulated together, one event of each per round, so that a round is a few array operations. The next item
depends on the user's taste (which drifts), on the item before (the same style and category, or its complement), on the
season's fashion, on popularity, on the price, and on the position in the list (position bias).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from winnow.datasets.marketplace.attributes import CATEGORY_NAMES, COMPLEMENTS, STYLE_NAMES
from winnow.datasets.marketplace.catalog import DAY, DAYS, END, START, Catalog
from winnow.datasets.marketplace.people import People

EVENTS = {"view": 1.0, "cart": 3.0, "purchase": 10.0}
_VIEW, _CART, _PURCHASE = range(3)

_RELATED, _TO_TASTE, _POPULAR, _ESTABLISHED = 14, 10, 5, 1
"""Number of items of each origin in a list."""
_SESSION = 7
"""Mean number of events in a visit."""
_BUY_AFTER_CART = 0.4
_POSITION_BIAS = 0.5
_SHARPNESS = 1.6
"""Inverse temperature of a choice: larger values leave less to chance."""
_SEEN_SLOTS = 2048


@dataclass(frozen=True)
class Log:
    """Events in index space, in the order of time; every array is [events].

    Attributes:
        user: row of the user.
        item: row of the item.
        event: index into the names of ``EVENTS``.
        timestamp: int64 ms.
    """

    user: NDArray[np.int64]
    item: NDArray[np.int64]
    event: NDArray[np.int64]
    timestamp: NDArray[np.int64]


def simulate(catalog: Catalog, people: People, events: int, rng: np.random.Generator) -> Log:
    """Simulate users on the catalog for exactly ``events`` events."""
    user, timestamp, begins_visit = _visits(len(people), events, rng)
    offsets = np.searchsorted(user, np.arange(len(people) + 1))
    # Sorted by length of log, so that the active users of every round are a prefix.
    by_length = np.argsort(-np.diff(offsets), kind="stable")
    lengths = np.diff(offsets)[by_length]
    item, event = np.zeros(events, np.int64), np.zeros(events, np.int64)
    shelf = _Shelf(catalog)
    seen = np.zeros((len(people), min(len(catalog), _SEEN_SLOTS)), dtype=bool)
    for step in range(lengths[0]):
        active = by_length[: np.searchsorted(-lengths, -step)]
        rows = offsets[active] + step
        before = item[np.maximum(rows - 1, 0)]
        stays = ~begins_visit[rows]
        luck = rng.random(len(active))
        follows = event[np.maximum(rows - 1, 0)]
        keen = people.style[0, active, catalog.style[before]] > 0.3
        carts = stays & (follows == _VIEW) & (luck < np.where(keen, 0.16, 0.08))
        buys = stays & (follows == _CART) & (luck < _BUY_AFTER_CART)
        event[rows] = np.where(carts, _CART, np.where(buys, _PURCHASE, _VIEW))
        item[rows] = before
        looks = ~(carts | buys)
        viewer, where = active[looks], rows[looks]
        chosen = _look(catalog, people, shelf, seen, viewer, timestamp[where], before[looks], begins_visit[where], rng)
        item[where] = chosen
        seen[viewer, chosen % seen.shape[1]] = True
    in_time = np.argsort(timestamp, kind="stable")
    return Log(user[in_time], item[in_time], event[in_time], timestamp[in_time])


def _visits(
    users: int, events: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """User, time (ms) and whether a visit begins, of every event, sorted by user and time."""
    fewest = min(5, events // users)
    activity = rng.lognormal(0.0, 0.8, users)
    counts = fewest + rng.multinomial(events - fewest * users, activity / activity.sum())
    user = np.repeat(np.arange(users), counts)
    first = np.diff(user, prepend=-1) > 0
    begins_visit = first | (rng.random(events) < 1 / _SESSION)
    visit = np.cumsum(begins_visit) - 1
    visitor = user[begins_visit]
    joined = np.where(rng.random(users) < 0.6, 0.0, rng.uniform(0, DAYS * 0.7, users))[visitor]
    day = np.floor(rng.uniform(joined, DAYS - 1))
    begins = START + (day + np.clip(rng.normal(0.78, 0.13, len(day)), 0.0, 0.97)) * DAY
    begins = begins[np.lexsort((begins, visitor))]
    pause = 5_000 + rng.exponential(45_000, events)
    since = np.cumsum(pause)
    moment = begins[visit] + since - since[begins_visit][visit]
    # Where two visits overlap, the events of the second follow those of the first.
    offset = user * float(2 * END)
    moment = np.maximum.accumulate(moment + offset) - offset
    return user, np.minimum(moment, END - 1).astype(np.int64), begins_visit


class _Shelf:
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


def _look(
    catalog: Catalog,
    people: People,
    shelf: _Shelf,
    seen: NDArray[np.bool_],
    viewer: NDArray[np.int64],
    now: NDArray[np.int64],
    before: NDArray[np.int64],
    begins_visit: NDArray[np.bool_],
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """The item that each of the users ``viewer`` views at ``now``, after viewing ``before``."""
    drift = 1 / (1 + np.exp((people.turning[viewer] - now) / (6 * DAY)))
    taste = (rng.random(len(viewer)) < drift).astype(np.int64)
    likes_category, likes_style = people.category[taste, viewer], people.style[taste, viewer]

    # The first list of a visit does not depend on the item before.
    shape = len(viewer), _RELATED + _TO_TASTE
    category, style = _drawn(likes_category, shape[1], rng), _drawn(likes_style, shape[1], rng)
    kind = catalog.category[before][:, None]
    goes_with = np.where(rng.random(shape) < 0.6, COMPLEMENTS[kind], kind)
    follows = (np.arange(shape[1]) < _RELATED) & ~begins_visit[:, None]
    category = np.where(follows, goes_with, category)
    style = np.where(follows, catalog.style[before][:, None], style)
    shown = np.hstack(
        [
            shelf.of(category, style, rng),
            shelf.any((len(viewer), _POPULAR), rng),
            shelf.established((len(viewer), _ESTABLISHED), rng),
        ]
    )

    popularity = np.log(catalog.appeal)[shown]
    position = np.argsort(np.argsort(-(popularity + rng.normal(0.0, 1.0, shown.shape)), axis=1), axis=1)
    age = (now[:, None] - catalog.created_at[shown]) / DAY
    row = np.arange(len(viewer))[:, None]
    same_style = catalog.style[shown] == catalog.style[before][:, None]
    same_category = catalog.category[shown] == kind
    complement = catalog.category[shown] == COMPLEMENTS[kind]
    same_colour = catalog.colour[shown] == catalog.colour[before][:, None]
    same_material = catalog.material[shown] == catalog.material[before][:, None]
    season = 2 * np.pi * ((now[:, None] - START) / (DAYS * DAY) + catalog.style[shown] / len(STYLE_NAMES))
    reason = (
        0.5 * np.log(likes_category[row, catalog.category[shown]])
        + 0.5 * np.log(likes_style[row, catalog.style[shown]])
        + 0.7 * np.log(people.colour[taste, viewer][row, catalog.colour[shown]])
        + ~begins_visit[:, None] * (same_style * (0.8 * complement + 0.4 * same_category) + 0.8 * same_colour)
        + ~begins_visit[:, None] * 0.5 * same_material
        - 0.4 * np.abs(np.log(catalog.price[shown] / catalog.typical[shown] / people.budget[viewer][:, None]))
        + 0.3 * np.sin(season)
        + 0.8 * np.exp(-np.maximum(age, 0) / 7)
        - _POSITION_BIAS * np.log1p(position)
        - 6.0 * seen[viewer[:, None], shown % seen.shape[1]]
    )
    reason[age < 0] = -np.inf
    choice = np.argmax(_SHARPNESS * reason + rng.gumbel(size=shown.shape), axis=1)
    return np.take_along_axis(shown, choice[:, None], axis=1)[:, 0]


def _drawn(shares: NDArray[np.float64], times: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """``times`` draws from each row of shares; int64 [rows, times]."""
    sums = np.cumsum(shares, axis=1)[:, None, :-1]
    drawn: NDArray[np.int64] = np.count_nonzero(rng.random((len(shares), times))[..., None] > sums, axis=-1)
    return drawn
