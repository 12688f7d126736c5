"""What a log must hold before anything can be learned from it, said before the training rather than after it."""

import pyarrow.compute as pc

from winnow.datasets.canonical.dataset import Dataset
from winnow.errors import DataError

FEWEST_ITEMS = 2


def check_learnable(dataset: Dataset, name: str) -> None:
    """Refuse a data set whose log has no order to learn.

    A recommender learns what is met after what, so somebody must have met two items.

    Args:
        dataset: validated, held-out events already removed.
        name: what the message calls it.

    Raises:
        DataError: the catalog has one item, or no user has events with two.
    """
    items, events = dataset.items.num_rows, dataset.events
    if items < FEWEST_ITEMS:
        raise DataError(
            f"{name}: items: the catalog has {items} item, and with fewer than {FEWEST_ITEMS} there is nothing to "
            "choose from; add the other items"
        )
    if not events.num_rows:
        raise DataError(
            f"{name}: events: no events are left once the held-out ones are taken away; build without --holdout last, "
            "or bring more events"
        )
    met = events.group_by("user_id").aggregate([("item_id", "count_distinct")])["item_id_count_distinct"]
    if pc.max(met).as_py() < FEWEST_ITEMS:
        example = events["user_id"][0].as_py()
        raise DataError(
            f"{name}: events: user_id: none of the {len(met):,} users has events with two different items (such as "
            f"{example!r}), so there is no order to learn; let user_id name the same person in all visits, not a "
            "session or an order, or bring a longer log"
        )
