"""The data set that an import writes: tables in batches, the bad rows that were left out, and ``dataset.yaml``."""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from winnow.datasets.canonical.spec import FILE, DatasetSpec
from winnow.datasets.migration.source import BadRow, Row, rows
from winnow.errors import DataError, WinnowError

BATCH = 50_000
"""Rows in memory at a time, per table."""

EXAMPLES = 3

EVENTS = pa.schema(
    {
        "user_id": pa.string(),
        "item_id": pa.string(),
        "event": pa.string(),
        "timestamp": pa.int64(),
        "amount": pa.float64(),
    }
)
IMPRESSIONS = pa.schema(
    {
        "request_id": pa.string(),
        "user_id": pa.string(),
        "item_id": pa.string(),
        "timestamp": pa.int64(),
        "position": pa.int32(),
        "propensity": pa.float64(),
    }
)

_VALUES = {
    10.0: ("purchase", "buy", "order", "transaction", "checkout", "subscribe"),
    3.0: ("cart", "basket", "like", "star", "favorite", "favourite", "save", "bookmark", "share", "wishlist"),
    -5.0: ("dislike", "hide", "downvote", "unlike", "block"),
}
"""Value -> words in the names of event types; every other type has the value 1."""


@dataclass
class Report:
    """What an import read.

    Attributes:
        rows: written rows, by table.
        left_out: reason -> number of rows.
        examples: reason -> file and line of the first rows.
        notes: decisions that the user should know.
    """

    rows: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def leave_out(self, path: Path, line: int, reason: str) -> None:
        """Count a bad row."""
        self.left_out[reason] = self.left_out.get(reason, 0) + 1
        examples = self.examples.setdefault(reason, [])
        if len(examples) < EXAMPLES:
            examples.append(f"{path.name}, line {line}")

    def good(self, files: Iterable[Path], needed: Iterable[str] = ()) -> Iterator[tuple[Path, int, Row]]:
        """The rows of files that can be read; the others are counted."""
        names = list(needed)
        for path in files:
            for line, row in rows(path, names):
                if isinstance(row, BadRow):
                    self.leave_out(path, line, str(row))
                else:
                    yield path, line, row


class Table:
    """Writes one Parquet file in batches.

    Args:
        path: the file.
        schema: its columns; a row may leave out some.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.written = 0
        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema)
        self._rows: list[Mapping[str, Any]] = []

    def add(self, row: Mapping[str, Any]) -> None:
        """Add a row."""
        self._rows.append(row)
        if len(self._rows) == BATCH:
            self._flush()

    def close(self) -> None:
        """Write the rest."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, self._schema))
            self.written += len(self._rows)
            self._rows = []


class TargetFolder:
    """The folder of the data set, which appears once it is complete.

    Args:
        folder: the folder while it is written.
        report: gets the number of rows.
    """

    def __init__(self, folder: Path, report: Report) -> None:
        self._folder = folder
        self._report = report

    @contextmanager
    def table(self, name: str, schema: pa.Schema) -> Iterator[Table]:
        """Write a table."""
        table = Table(self._folder / f"{name}.parquet", schema)
        try:
            yield table
        finally:
            table.close()
        if table.written:
            self._report.rows[name] = table.written
        else:
            (self._folder / f"{name}.parquet").unlink()

    def describe(self, name: str, events: Iterable[str], columns: Mapping[str, Mapping[str, list[str]]]) -> None:
        """Write ``dataset.yaml``.

        Args:
            name: of the data set.
            events: the event types.
            columns: ``items`` and ``users`` -> ``categorical`` and ``numeric`` -> declared columns.

        Raises:
            DataError: the data set has no event, or more types than a data set may have.
        """
        values = {kind: value_of(kind) for kind in events}
        if not values:
            raise DataError("no row of the log could be read: see the reasons above")
        if max(values.values()) <= 0:
            self._report.notes.append("no event type has a positive value: set one in dataset.yaml before the build")
        content = {"name": name, "events": values, **{table: dict(kinds) for table, kinds in columns.items() if kinds}}
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        if max(values.values()) > 0:
            DatasetSpec.parse(text, FILE)
        (self._folder / FILE).write_text(text, encoding="utf-8")


def value_of(event: str) -> float:
    """A sensible value of an event type, by its name; the user corrects it in ``dataset.yaml``."""
    name = event.casefold()
    # A dislike contains a like.
    for value in sorted(_VALUES):
        if any(word in name for word in _VALUES[value]):
            return value
    return 1.0


@contextmanager
def written(output: Path, report: Report) -> Iterator[TargetFolder]:
    """Write a data set into a folder that must not exist.

    Raises:
        WinnowError: it exists.
    """
    if output.exists():
        raise WinnowError(f"{output} exists: name a folder that does not, or remove it")
    unfinished = output.with_name(f".{output.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        yield TargetFolder(unfinished, report)
        unfinished.rename(output)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
