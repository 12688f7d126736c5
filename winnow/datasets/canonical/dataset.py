"""A validated data set: a description and four Arrow tables in canonical columns."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from winnow.datasets.canonical import spec as dataset_yaml
from winnow.datasets.canonical.account import Account
from winnow.datasets.canonical.spec import DatasetSpec
from winnow.errors import WinnowError

HOLDOUT = "holdout.parquet"
EVENTS_FILE = "events.parquet"
"""The log in the folder of a saved data set."""

IMPRESSIONS = pa.schema(
    [
        ("request_id", pa.string()),
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("timestamp", pa.int64()),
        ("position", pa.int32()),
        ("propensity", pa.float64()),
    ]
)
"""The columns of the impressions, in canonical form."""

_TABLES = ("items", "users", "events", "impressions")
_FEWEST = 3


@dataclass(frozen=True)
class Dataset:
    """A validated data set.

    Attributes:
        spec: the description.
        items: ``item_id``, ``title``, ``description``, ``category`` str; ``price`` float64; ``image``, ``audio`` str
            (absolute path or URI); ``created_at`` int64 ms; ``available`` bool; then the declared columns
            (str or list<str>, and float64).
        users: ``user_id`` str, then the declared columns.
        events: ``user_id``, ``item_id``, ``event`` str; ``timestamp`` int64 ms; ``amount`` float64, finite and not
            negative, null where unknown; in the order of the log.
        impressions: one row per shown item: ``request_id``, ``user_id``, ``item_id`` str; ``timestamp`` int64 ms, when
            the request arrived; ``position`` int32, from 0; ``propensity`` float64 in (0, 1], the probability that the
            item was shown there; in the order of time, request, position. Empty where the source has none.
        account: the account of its ingestion; a loaded data set has it in ``ingest.json``.
    """

    spec: DatasetSpec
    items: pa.Table
    users: pa.Table
    events: pa.Table
    impressions: pa.Table = field(default_factory=IMPRESSIONS.empty_table)
    account: Account = field(default_factory=Account)

    def save(self, folder: Path) -> None:
        """Write ``dataset.yaml``, ``ingest.json`` and one Parquet file per table into ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in _TABLES:
            pq.write_table(getattr(self, name), folder / f"{name}.parquet")
        self.account.write(folder)
        self.spec.write(folder / dataset_yaml.FILE)

    @classmethod
    def load(cls, folder: Path, events: bool = True) -> "Dataset":
        """Read what :meth:`save` wrote.

        Args:
            folder: the folder.
            events: whether to read the log, which is larger than all else; without it ``events`` is empty.

        Raises:
            WinnowError: the folder has no saved data set.
        """
        if not (folder / dataset_yaml.FILE).is_file():
            raise WinnowError(f"{folder} has no data set: {dataset_yaml.FILE} is missing. Ingest one first.")
        tables = {name: pq.read_table(folder / f"{name}.parquet") for name in _TABLES if events or name != "events"}
        if not events:
            tables["events"] = pq.read_schema(folder / EVENTS_FILE).empty_table()
        return cls(DatasetSpec.read(folder / dataset_yaml.FILE), **tables)


def hold_out_last(dataset: Dataset) -> tuple[Dataset, pa.Table]:
    """Remove the end of every user's log, for evaluation: all events from the user's last moment on.

    A moment is an event that a recommendation could have led to: where the data set allows repeats, any event of a type
    of positive value; elsewhere the user's first event with an item, because seen items are hidden or come last. Later
    events are held out with the moment: they tell what followed from it, and a model that learned from them would know
    its future. In a log without repeated items, only the last event is held out.

    Events are in the order of time, then of the log. Users with fewer than 3 moments keep all their events and are not
    in the held-out table: from a single moment neither training nor early stopping can learn.

    Returns:
        The data set without those events, and the events, with the same columns, in the order of the log.
    """
    events = dataset.events
    user = codes(events["user_id"])
    # lexsort is stable: equal timestamps stay in the order of the log.
    order = np.lexsort((events["timestamp"].to_numpy(), user))
    moments = order[_moments(dataset, order)]
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    users = int(user.max(initial=-1)) + 1
    last = np.zeros(users, np.int64)
    np.maximum.at(last, user[moments], place[moments])
    enough = np.bincount(user[moments], minlength=users) >= _FEWEST
    held = enough[user] & (place >= last[user])
    return replace(dataset, events=events.filter(pa.array(~held))), events.filter(pa.array(held))


def _moments(dataset: Dataset, order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions in ``order``, which sorts the log by user and time, of every user's moments."""
    events, spec = dataset.events, dataset.spec
    if spec.repeats == "allow":
        positive = pa.array([name for name, value in spec.values.items() if value > 0])
        return np.flatnonzero(pc.is_in(events["event"], positive).to_numpy()[order])
    item = codes(events["item_id"])
    pairs = codes(events["user_id"]) * (int(item.max(initial=0)) + 1) + item
    first: NDArray[np.int64] = np.unique(pairs[order], return_index=True)[1]
    return first


def codes(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """A number for each value, the same for equal ones, from 0: int64 [rows]."""
    numbers: NDArray[np.int64] = column.combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    return numbers
