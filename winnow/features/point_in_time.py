"""Numbers computed from all events of a log: by DuckDB in this process or by Spark on a cluster."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from winnow.datasets.canonical.dataset import Dataset
from winnow.errors import WinnowError
from winnow.features.log import in_index_space, numbered
from winnow.features.popularity import popularity_after
from winnow.files import inside, listed, read

ITEMS, USERS, LOG, POPULARITY = "items", "users", "log", "popularity"
"""Folders of the Parquet files that Spark writes."""


@dataclass(frozen=True)
class PointInTime:
    """The log in index space, and the popularity of every item after each of its events.

    Attributes:
        log: the table of :func:`winnow.features.log.in_index_space`, in its order.
        popularity: the table of :func:`winnow.features.popularity.popularity_after`, in any order.
    """

    log: pa.Table
    popularity: pa.Table

    @classmethod
    def of(cls, dataset: Dataset) -> "PointInTime":
        """Compute the tables with DuckDB."""
        with _duckdb() as engine:
            items, users, events = (
                engine.create_table(name, _placed(table))
                for name, table in (("items", dataset.items), ("users", dataset.users), ("events", dataset.events))
            )
            items, users = numbered(items, "item_id", "item", 1), numbered(users, "user_id", "user", 0)
            log = engine.to_pyarrow(in_index_space(events, items, users, dataset.spec.events))
            newest = int(log["timestamp"].to_numpy().max(initial=0))
            popularity = popularity_after(engine.create_table("log", log), newest)
            return cls(log, engine.to_pyarrow(popularity))

    @classmethod
    def read(cls, address: str, dataset: Dataset) -> "PointInTime":
        """Read the output of ``python -m winnow.features.spark``.

        Args:
            address: the output, a folder or ``s3://bucket/prefix``.
            dataset: the data set that the output must be computed from.

        Raises:
            WinnowError: the output is missing or incomplete, or of another data set.
        """
        if not listed(inside(address, POPULARITY), "_SUCCESS"):
            raise WinnowError(
                f"{address} has no complete point-in-time numbers: {POPULARITY}/_SUCCESS is missing. Run "
                "python -m winnow.features.spark to its end, with this address for --output."
            )
        for name, ids in ((ITEMS, dataset.items["item_id"]), (USERS, dataset.users["user_id"])):
            if not _table(inside(address, name))[0].combine_chunks().equals(ids.combine_chunks()):
                raise _other(address, f"{name} of other ids or in another order")
        log = _table(inside(address, LOG))
        if log.num_rows != dataset.events.num_rows:
            raise _other(address, f"{log.num_rows:,} events where the data set has {dataset.events.num_rows:,}")
        return cls(log, _table(inside(address, POPULARITY)))


def _other(address: str, difference: str) -> WinnowError:
    return WinnowError(
        f"The point-in-time numbers in {address} were computed from another data set: they have {difference}. Run "
        "python -m winnow.features.spark again, on the data of this run without its held-out events."
    )


def _table(folder: str) -> pa.Table:
    """The rows of a folder's files by name, which is the order of Spark's output."""
    files = listed(folder, ".parquet")
    table = pa.concat_tables([pq.read_table(io.BytesIO(read(file))) for file in files])
    # Spark declares that a column is never null, DuckDB does not.
    return table.cast(pa.schema([field.with_nullable(True) for field in table.schema]))


def _placed(table: pa.Table) -> pa.Table:
    return table.append_column("position", pa.array(np.arange(table.num_rows, dtype=np.int64)))


@contextmanager
def _duckdb() -> Iterator[ibis.BaseBackend]:
    engine = ibis.duckdb.connect()
    try:
        yield engine
    finally:
        engine.disconnect()
