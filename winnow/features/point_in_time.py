"""Numbers computed from all events of a log: by DuckDB in this process or by Spark on a cluster."""

import io
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from winnow.datasets.canonical.dataset import EVENTS_FILE, Dataset
from winnow.errors import WinnowError
from winnow.features.log import in_index_space, numbered
from winnow.features.popularity import popularity_after
from winnow.files import inside, listed, read

ITEMS, USERS, LOG, POPULARITY = "items", "users", "log", "popularity"
"""Folders of the Parquet files that Spark writes."""


_MEMORY = "2GB"
"""What DuckDB keeps in memory; beyond it, it writes to a temporary folder."""

_ROWS = 131_072
"""Rows of a result at a time."""


@dataclass(frozen=True)
class PointInTime:
    """The log in index space, and the popularity of every item after each of its events.

    Attributes:
        log: the table of :func:`winnow.features.log.in_index_space`, in its order.
        popularity: the table of :func:`winnow.features.popularity.popularity_after`, by item and time.
    """

    log: pa.Table
    popularity: pa.Table

    @classmethod
    def of(cls, dataset: Dataset) -> "PointInTime":
        """Compute the tables with DuckDB. They are files that are mapped into memory, and end with the tables."""
        with _duckdb() as engine:
            events = engine.create_table("events", _placed(dataset.events))
            return cls._computed(engine, dataset, events)

    @classmethod
    def of_folder(cls, folder: Path, dataset: Dataset) -> "PointInTime":
        """Like :meth:`of`, with the log read from a saved data set's file and not from memory.

        Args:
            folder: folder of the saved data set.
            dataset: its tables; the log may be left out.
        """
        with _duckdb() as engine:
            found = engine.read_parquet(folder / EVENTS_FILE, table_name="events", file_row_number=True)
            return cls._computed(engine, dataset, found.rename(position="file_row_number"))

    @classmethod
    def _computed(cls, engine: ibis.BaseBackend, dataset: Dataset, events: ir.Table) -> "PointInTime":
        items, users = (
            engine.create_table(name, _placed(table.select([key])))
            for name, table, key in (("items", dataset.items, "item_id"), ("users", dataset.users, "user_id"))
        )
        items, users = numbered(items, "item_id", "item", 1), numbered(users, "user_id", "user", 0)
        log = _mapped(engine, in_index_space(events, items, users, dataset.spec.events))
        newest = int(log["timestamp"].to_numpy().max(initial=0))
        own = engine.create_table("log", log.select(["item", "timestamp", "weight"]))
        return cls(log, _mapped(engine, popularity_after(own, newest).order_by("item", "timestamp")))

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
    with tempfile.TemporaryDirectory(prefix="winnow-duckdb-") as folder:
        engine = ibis.duckdb.connect(memory_limit=_MEMORY, temp_directory=folder)
        try:
            yield engine
        finally:
            engine.disconnect()


def _mapped(engine: ibis.BaseBackend, rows: ir.Table) -> pa.Table:
    """The rows of an expression of numbers, which go to files and never lie in memory as a whole."""
    types = rows.schema().to_pyarrow()
    with tempfile.TemporaryDirectory(prefix="winnow-columns-") as folder, ExitStack() as opened:
        files = {name: opened.enter_context((Path(folder) / name).open("wb+")) for name in types.names}
        for batch in engine.to_pyarrow_batches(rows, chunk_size=_ROWS):
            for name, file in files.items():
                batch[name].to_numpy().tofile(file)
        # The files keep their content, without their names, for as long as they are mapped.
        return pa.table({name: _map(file, types.field(name).type) for name, file in files.items()})


def _map(file: BinaryIO, kind: pa.DataType) -> NDArray[np.generic]:
    file.flush()
    empty = file.tell() == 0
    return np.zeros(0, kind.to_pandas_dtype()) if empty else np.memmap(file, kind.to_pandas_dtype(), "r")
