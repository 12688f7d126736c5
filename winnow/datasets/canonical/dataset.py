"""A validated data set: a description and three Arrow tables in canonical columns."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from winnow.datasets.canonical import spec as dataset_yaml
from winnow.datasets.canonical.account import Account
from winnow.datasets.canonical.spec import DatasetSpec
from winnow.errors import WinnowError

HOLDOUT = "holdout.parquet"
_FEWEST = 3


@dataclass(frozen=True)
class Dataset:
    """Items, users and events, whatever the source looked like.

    Attributes:
        spec: the description.
        items: ``item_id``, ``title``, ``description``, ``category`` str; ``price`` float64; ``image``, ``audio`` str
            (absolute path or URI); ``created_at`` int64 ms; ``available`` bool; then the declared columns
            (str or list<str>, and float64).
        users: ``user_id`` str, then the declared columns.
        events: ``user_id``, ``item_id``, ``event`` str; ``timestamp`` int64 ms; in the order of the log.
        account: how it came from its source; of a saved data set, ``ingest.json`` has it.
    """

    spec: DatasetSpec
    items: pa.Table
    users: pa.Table
    events: pa.Table
    account: Account = field(default_factory=Account)

    def save(self, folder: Path) -> None:
        """Write ``dataset.yaml``, ``ingest.json`` and one Parquet file per table into ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("items", "users", "events"):
            pq.write_table(getattr(self, name), folder / f"{name}.parquet")
        self.account.write(folder)
        self.spec.write(folder / dataset_yaml.FILE)

    @classmethod
    def load(cls, folder: Path) -> "Dataset":
        """Read what :meth:`save` wrote.

        Raises:
            WinnowError: the folder holds no saved data set.
        """
        if not (folder / dataset_yaml.FILE).is_file():
            raise WinnowError(f"{folder} holds no data set: {dataset_yaml.FILE} is missing. Ingest one first.")
        items, users, events = (pq.read_table(folder / f"{name}.parquet") for name in ("items", "users", "events"))
        return cls(DatasetSpec.read(folder / dataset_yaml.FILE), items, users, events)


def hold_out_last(dataset: Dataset) -> tuple[Dataset, pa.Table]:
    """Take every user's last event away, so that it can be asked for later.

    The last event is the one with the largest timestamp; among equal ones, the one furthest down the log. Users
    with fewer than 3 events keep all of them and are not in the held-out table: with one event left there is
    nothing to learn from, let alone to stop early on.

    Returns:
        The data set without those events, and the events: ``user_id``, ``item_id``, ``event``, ``timestamp``, one
        row per user, in the order of the log.
    """
    events = dataset.events
    user = events["user_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    # lexsort is stable: equal timestamps stay in the order of the log.
    order = np.lexsort((events["timestamp"].to_numpy(), user))
    last = order[np.flatnonzero(np.diff(user[order], append=-1))]
    held = np.zeros(len(user), dtype=bool)
    held[last[np.bincount(user)[user[last]] >= _FEWEST]] = True
    return replace(dataset, events=events.filter(pa.array(~held))), events.filter(pa.array(held))
