"""A generated grocery log: users come back for their staples, each after an interval that is typical of the item.

Half of the purchases are repeats. The others are items that the user has not bought before, of the departments that
the user prefers, often of the department of the item before. The last purchase of a user is one of the basket's at
random, so that half of the last purchases are repeats too.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from winnow.datasets.canonical.spec import FILE, DatasetSpec, EventType
from winnow.schema import DAY_MS, Repeats

ITEMS, USERS, DEPARTMENTS, STAPLES, DAYS = 1000, 400, 20, 16, 90
_SHORTEST, _LONGEST = 6.0, 30.0
"""Days after which a staple is bought again."""

_JITTER = 0.15
_TRIP_DAYS = 3.5
_PAUSE_MS = 30_000
"""Between two purchases of a basket."""

_SAME_DEPARTMENT = 0.6
"""Share of the new items that are of the department of the item before."""


class Grocery(NamedTuple):
    """Purchases in index space, by user, then time; arrays are [purchases] unless stated.

    Attributes:
        user: row of the user.
        item: row of the item.
        ago: ms before the end of the log.
        department: int64 [items].
        price: float64 [items].
    """

    user: NDArray[np.int64]
    item: NDArray[np.int64]
    ago: NDArray[np.int64]
    department: NDArray[np.int64]
    price: NDArray[np.float64]

    @property
    def last(self) -> NDArray[np.bool_]:
        """Every user's last purchase."""
        last: NDArray[np.bool_] = np.diff(self.user, append=-1) != 0
        return last

    @property
    def repeated(self) -> NDArray[np.bool_]:
        """Purchases of an item that the user has bought before."""
        _, first = np.unique(self.user * len(self.price) + self.item, return_index=True)
        again = np.ones(len(self.user), np.bool_)
        again[first] = False
        return again


def grocery(seed: int, users: int = USERS) -> Grocery:
    """Simulate the users."""
    rng = np.random.default_rng(seed)
    department = rng.integers(DEPARTMENTS, size=ITEMS)
    appeal = 1.0 / (1 + rng.permutation(ITEMS)) ** 0.7
    interval = np.exp(rng.uniform(np.log(_SHORTEST), np.log(_LONGEST), ITEMS))
    purchases: list[tuple[int, int, int]] = []
    for user in range(users):
        taste = rng.dirichlet(np.full(DEPARTMENTS, 0.3))[department] * appeal + 1e-6
        for ago, item in _purchases(taste, department, interval, rng):
            purchases.append((user, item, ago))
    user_of, item_of, ago_of = np.array(purchases, np.int64).T
    price = np.round(np.exp(rng.normal(1.2, 0.6, ITEMS)), 2)
    return Grocery(user_of, item_of, ago_of, department, price.astype(np.float64))


def _purchases(
    taste: NDArray[np.float64], department: NDArray[np.int64], interval: NDArray[np.float64], rng: np.random.Generator
) -> list[tuple[int, int]]:
    """One user's purchases: ms before the end, and the item."""
    staples = rng.choice(ITEMS, STAPLES, replace=False, p=taste / taste.sum())
    due = rng.uniform(0.0, 1.0, STAPLES) * interval[staples]
    new = taste.copy()
    new[staples] = 0.0
    bought = np.zeros(STAPLES, np.bool_)
    trips = DAYS - np.cumsum(rng.gamma(4.0, _TRIP_DAYS / 4, int(3 * DAYS / _TRIP_DAYS)))
    before, missing, purchases = int(staples[0]), 0, []
    for day in trips[trips > 0][::-1]:
        taken = np.flatnonzero(due <= day)
        due[taken] = day + interval[staples[taken]] * np.exp(rng.normal(0.0, _JITTER, len(taken)))
        # A staple is new the first time; where repeats outnumber new items, others are bought.
        missing += 2 * int(bought[taken].sum()) - len(taken)
        bought[taken] = True
        basket = staples[taken].tolist()
        for _ in range(max(0, missing)):
            near = new * (department == department[before]) if rng.random() < _SAME_DEPARTMENT else new
            chances = near if near.sum() > 0 else new
            before = int(rng.choice(ITEMS, p=chances / chances.sum()))
            new[before] = 0.0
            basket.append(before)
        missing = min(missing, 0)
        rng.shuffle(basket)
        start = int((DAYS - day) * DAY_MS)
        purchases += [(start - _PAUSE_MS * place, item) for place, item in enumerate(basket)]
    # Every user's log ends at the same time, so that a request after its end is at the moment of the next purchase.
    end = purchases[-1][0] - _PAUSE_MS
    return [(ago - end, item) for ago, item in purchases]


def write(log: Grocery, folder: Path, now_ms: int, repeats: Repeats) -> None:
    """Write a log as a data set into a new folder.

    Args:
        log: the purchases.
        folder: the folder.
        now_ms: end of the log: purchases are some milliseconds before it.
        repeats: for ``dataset.yaml``.
    """
    folder.mkdir(parents=True)
    items = {
        "item_id": [_item(row) for row in range(len(log.price))],
        "title": [f"item {row} of department {kind}" for row, kind in enumerate(log.department)],
        "category": [f"department {kind}" for kind in log.department],
        "price": log.price,
    }
    order = np.argsort(-log.ago, kind="stable")
    events = {
        "user_id": [user_id(row) for row in log.user[order]],
        "item_id": [_item(row) for row in log.item[order]],
        "event": ["purchase"] * len(order),
        "timestamp": now_ms - log.ago[order],
    }
    pq.write_table(pa.table(items), folder / "items.parquet")
    pq.write_table(pa.table(events), folder / "events.parquet")
    DatasetSpec(name="grocery", events={"purchase": EventType(value=1.0)}, repeats=repeats).write(folder / FILE)


def user_id(row: int) -> str:
    """The id of a user."""
    return f"u{row:04d}"


def item_row(item_id: str) -> int:
    """The row of an item."""
    return int(item_id[1:])


def _item(row: int) -> str:
    return f"g{row:04d}"
