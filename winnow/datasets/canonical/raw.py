"""A data set as a reader returns it, before validation."""

from dataclasses import dataclass

import pyarrow as pa

from winnow.datasets.canonical.spec import DatasetSpec

COLUMNS_READ = {
    "impressions": ("request_id", "user_id", "timestamp", "form", "items", "item_id", "position", "propensity"),
}
"""Table -> the columns that are read of it, where the others are large and not needed."""


@dataclass(frozen=True)
class RawFile:
    """One file of a table.

    Attributes:
        file: name of the file in the report.
        table: its columns, with the types and headings of the file.
        broken: number of lines that have too many or too few values, which the table lacks.
        examples: some of these lines.
    """

    file: str
    table: pa.Table
    broken: int = 0
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class RawTable:
    """One table of a source: its name in the report, and its files in order."""

    file: str
    parts: tuple[RawFile, ...]

    @classmethod
    def of(cls, file: str, table: pa.Table) -> "RawTable":
        """A table of one file."""
        return cls(file, (RawFile(file, table),))


@dataclass(frozen=True)
class RawDataset:
    """A data set before validation.

    Attributes:
        name: folder or address of the source.
        root: folder or address that relative paths of images and sounds start from.
        spec: the data set's description.
        items: one row per item.
        users: one row per user; ``None`` where the source has no users table.
        events: the log.
        notes: the reader's decisions that the user should know.
        impressions: what was shown; ``None`` where the source has none.
    """

    name: str
    root: str
    spec: DatasetSpec
    items: RawTable
    users: RawTable | None
    events: RawTable
    notes: tuple[str, ...] = ()
    impressions: RawTable | None = None
