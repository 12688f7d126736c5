"""The minimum that training needs of a data set, checked before training starts."""

import numpy as np

from winnow.datasets.canonical.dataset import Dataset, codes
from winnow.errors import DataError

FEWEST_ITEMS = 2


def check_learnable(dataset: Dataset, name: str) -> None:
    """Refuse a data set whose log has no order to learn.

    A recommender learns which item follows which, so at least one user must have events with two items.

    Args:
        dataset: a validated data set without its held-out events.
        name: the data set's name in the error message.

    Raises:
        DataError: the catalog has one item, or no user has events with two.
    """
    items, events = dataset.items.num_rows, dataset.events
    if items < FEWEST_ITEMS:
        raise DataError(
            f"{name}: items: the catalog has {items} item; a recommender needs at least {FEWEST_ITEMS} to "
            "choose from: add the other items"
        )
    if not events.num_rows:
        raise DataError(
            f"{name}: events: no events are left after the hold-out; build without --holdout last, or provide more "
            "events"
        )
    user, item = codes(events["user_id"]), codes(events["item_id"])
    users = int(user.max()) + 1
    some = np.zeros(users, np.int64)
    some[user] = item
    if (item == some[user]).all():
        example = events["user_id"][0].as_py()
        raise DataError(
            f"{name}: events: user_id: none of the {users:,} users has events with two different items (such "
            f"as {example!r}), so there is no order to learn; let user_id name the same person in all visits, not a "
            "session or an order, or provide a longer log"
        )
