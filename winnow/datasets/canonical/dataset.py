"""A validated data set: a description and four Arrow tables in canonical columns."""

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
        events: ``user_id``, ``item_id``, ``event`` str; ``timestamp`` int64 ms; in the order of the log.
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
    def load(cls, folder: Path) -> "Dataset":
        """Read what :meth:`save` wrote.

        Raises:
            WinnowError: the folder has no saved data set.
        """
        if not (folder / dataset_yaml.FILE).is_file():
            raise WinnowError(f"{folder} has no data set: {dataset_yaml.FILE} is missing. Ingest one first.")
        tables = (pq.read_table(folder / f"{name}.parquet") for name in _TABLES)
        return cls(DatasetSpec.read(folder / dataset_yaml.FILE), *tables)


def hold_out_last(dataset: Dataset) -> tuple[Dataset, pa.Table]:
    """Remove every user's last event, for evaluation.

    The last event has the largest timestamp; of equal ones, it is the last in the log. Users with fewer than 3 events
    keep all of them and are not in the held-out table: from a single event neither training nor early stopping
    can learn.

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
