"""Simulation of the users: a user sees a list, views one item, and may add it to the cart, buy it, or dislike it.

All users are simulated together, one event of each per round, so that a round is a few array operations.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from winnow.datasets.marketplace.catalog import DAY, DAYS, END, START, Catalog
from winnow.datasets.marketplace.choice import Seen, Shelf, Viewers, choice_logits, usual_lists
from winnow.datasets.marketplace.outcomes import outcome_probabilities
from winnow.datasets.marketplace.people import People

EVENTS = {"view": 1.0, "cart": 3.0, "purchase": 10.0, "dislike": -5.0}
VIEW, CART, PURCHASE, DISLIKE = range(4)

_SESSION = 7
"""Mean number of events in a visit."""
_STAYS = 1 - 1 / _SESSION
"""Share of the events that another one follows in the same visit; only these can convert or be disliked."""


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
    shelf, seen = Shelf(catalog), Seen(len(people), len(catalog))
    for step in range(lengths[0]):
        active = by_length[: np.searchsorted(-lengths, -step)]
        rows = offsets[active] + step
        before, follows = item[np.maximum(rows - 1, 0)], event[np.maximum(rows - 1, 0)]
        stays = ~begins_visit[rows]
        cart, buy, dislike = outcome_probabilities(catalog, people, active, before, timestamp[rows])
        luck = rng.random(len(active)) * _STAYS
        after_view = stays & (follows == VIEW)
        carts = after_view & (luck < cart)
        dislikes = after_view & (luck >= _STAYS - dislike)
        buys = stays & (follows == CART) & (luck < buy)
        event[rows] = np.select([carts, buys, dislikes], [CART, PURCHASE, DISLIKE], VIEW)
        item[rows] = before
        looks = ~(carts | buys | dislikes)
        viewer, where = active[looks], rows[looks]
        viewers = Viewers(
            viewer,
            (rng.random(len(viewer)) < people.drift(viewer, timestamp[where])).astype(np.int64),
            before[looks],
            # After a dislike the user turns to something else.
            begins_visit[where] | (follows[looks] == DISLIKE),
            timestamp[where],
        )
        shown = usual_lists(catalog, people, shelf, viewers, rng)
        logits = choice_logits(catalog, people, seen, viewers, shown)
        choice = np.argmax(logits + rng.gumbel(size=shown.shape), axis=1)
        item[where] = shown[np.arange(len(choice)), choice]
        seen.add(viewer, item[where])
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
