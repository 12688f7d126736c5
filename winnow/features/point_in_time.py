"""What is computed from every event of a log, by DuckDB in this process or by Spark on a cluster."""

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
"""The folders of Parquet files that Spark writes."""


@dataclass(frozen=True)
class PointInTime:
    """The log in index space, and how popular every item was after each of its events.

    Attributes:
        log: as :func:`winnow.features.log.in_index_space` gives it, in its order.
        popularity: as :func:`winnow.features.popularity.popularity_after` gives it, in any order.
    """

    log: pa.Table
    popularity: pa.Table

    @classmethod
    def of(cls, dataset: Dataset) -> "PointInTime":
        """Computed here and now, by DuckDB."""
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
        """What ``python -m winnow.features.spark`` wrote for the data set.

        Args:
            address: its output, a folder or ``s3://bucket/prefix``.
            dataset: the data set that it must have been computed from.

        Raises:
            WinnowError: it is not there, not whole, or of another data set.
        """
        if not listed(inside(address, POPULARITY), "_SUCCESS"):
            raise WinnowError(
                f"{address} holds no point-in-time numbers, or not all of them: {POPULARITY}/_SUCCESS is missing. Run "
                "python -m winnow.features.spark to its end, with this place for --output."
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
        "python -m winnow.features.spark again, on the data that this run reads, held-out events left out."
    )


def _table(folder: str) -> pa.Table:
    """The rows of a folder's files in the order of their names, which is the order that Spark sorted them in."""
    files = listed(folder, ".parquet")
    return pa.concat_tables([pq.read_table(io.BytesIO(read(file))) for file in files]).replace_schema_metadata(None)


def _placed(table: pa.Table) -> pa.Table:
    return table.append_column("position", pa.array(np.arange(table.num_rows, dtype=np.int64)))


@contextmanager
def _duckdb() -> Iterator[ibis.BaseBackend]:
    engine = ibis.duckdb.connect()
    try:
        yield engine
    finally:
        engine.disconnect()
