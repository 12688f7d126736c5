"""A seeded data set of any size with an order to learn: items in clusters, users who walk through a few of them.

An event continues from the user's item before it, one to three places further in its cluster, or jumps to a popular
item of one of the user's clusters, or anywhere. A model that knows the item before can therefore tell the next one, and
one that knows only popularity cannot. There are no images, sounds, titles or categories.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from winnow.datasets.canonical.spec import FILE, DatasetSpec, EventType

END = 1_735_689_600_000
"""Moment after the last event: 2025-01-01, in milliseconds since the epoch."""

_SPAN = 180 * 86_400_000
_CLUSTER = 50
"""Items of a cluster."""

_CLUSTERS = 3
"""Clusters of a user."""

_CONTINUES, _OWN = 0.7, 0.25
"""Share of events that continue, and of those that jump within the user's clusters; the others jump anywhere."""

_FARTHEST = 3
_PURCHASES = 0.05
_EVENTS_PER_FILE, _EVENTS_PER_GROUP = 1_000_000, 131_072


@dataclass(frozen=True)
class LogSize:
    """Size of a generated data set.

    Attributes:
        events: rows of the log, at least one per user.
        users: users.
        items: items.
        seed: of everything random.
    """

    events: int
    users: int
    items: int
    seed: int = 0


def write(folder: Path, size: LogSize) -> None:
    """Write ``dataset.yaml``, ``items.parquet``, ``users.parquet`` and the log as several files in ``events/``.

    Args:
        folder: a folder that does not exist, or is empty.
        size: how many of everything.
    """
    rng = np.random.default_rng(size.seed)
    user, timestamp = _moments(size, rng)
    item = _walks(user, size, rng)
    # A log is in the order of time, not of users.
    order = np.argsort(timestamp, kind="stable")
    (folder / "events").mkdir(parents=True)
    DatasetSpec(
        name="synthetic",
        events={"view": EventType(value=1), "purchase": EventType(value=5)},
        conversions=("purchase",),
    ).write(folder / FILE)
    user_ids, item_ids = _ids("u", size.users), _ids("i", size.items)
    pq.write_table(pa.table({"user_id": user_ids}), folder / "users.parquet")
    price = np.round(np.exp(rng.normal(3.0, 1.0, size.items)), 2)
    pq.write_table(pa.table({"item_id": item_ids, "price": price}), folder / "items.parquet")
    kinds = pa.array(["view", "purchase"])
    for number, first in enumerate(range(0, size.events, _EVENTS_PER_FILE)):
        rows = order[first : first + _EVENTS_PER_FILE]
        columns = {
            "user_id": user_ids.take(pa.array(user[rows])),
            "item_id": item_ids.take(pa.array(item[rows])),
            "event": kinds.take(pa.array((rng.random(len(rows)) < _PURCHASES).astype(np.int8))),
            "timestamp": timestamp[rows],
        }
        place = folder / "events" / f"part-{number:05d}.parquet"
        pq.write_table(pa.table(columns), place, row_group_size=_EVENTS_PER_GROUP)


def _moments(size: LogSize, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """User and time of every event, by user and time: int64 [events] each; the events per user are lognormal."""
    activity = rng.lognormal(0.0, 1.0, size.users)
    count = 1 + rng.multinomial(size.events - size.users, activity / activity.sum())
    key = np.repeat(np.arange(size.users), count) * _SPAN + rng.integers(0, _SPAN, size.events)
    key.sort()
    return key // _SPAN, END - _SPAN + key % _SPAN


def _walks(user: NDArray[np.int64], size: LogSize, rng: np.random.Generator) -> NDArray[np.int64]:
    """The item of every event, int64 [events] of 0..items-1."""
    first = np.diff(user, prepend=-1) != 0
    jumps = first | (rng.random(len(user)) >= _CONTINUES)
    start = np.flatnonzero(jumps)
    clusters = -(-size.items // _CLUSTER)
    # The clusters of lower numbers have more users, and the first items of a cluster more jumps.
    popular = _zipf(np.arange(clusters))
    interests = rng.choice(clusters, (size.users, _CLUSTERS), p=popular)
    own = rng.random(len(start)) < _OWN / (1 - _CONTINUES)
    cluster = np.where(
        own,
        interests[user[start], rng.integers(0, _CLUSTERS, len(start))],
        rng.choice(clusters, len(start), p=popular),
    )
    place = rng.choice(_CLUSTER, len(start), p=_zipf(np.arange(_CLUSTER)))
    walked = np.cumsum(np.where(jumps, 0, rng.integers(1, _FARTHEST + 1, len(user))))
    jump = np.cumsum(jumps) - 1
    place = (place[jump] + walked - walked[start][jump]) % _CLUSTER
    # The last cluster may be smaller. A permutation, so that an item's number says nothing about it.
    items: NDArray[np.int64] = rng.permutation(size.items)[np.minimum(cluster[jump] * _CLUSTER + place, size.items - 1)]
    return items


def _zipf(rank: NDArray[np.int64]) -> NDArray[np.float64]:
    weight = 1.0 / (rank.astype(np.float64) + 10.0)
    share: NDArray[np.float64] = weight / weight.sum()
    return share


def _ids(letter: str, count: int) -> pa.Array:
    return pa.array(np.char.add(letter, np.char.zfill(np.arange(1, count + 1).astype(np.str_), 7)))
