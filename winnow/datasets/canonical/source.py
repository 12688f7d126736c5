"""What a reader hands to validation: tables as they were found, and where."""

from dataclasses import dataclass

import pyarrow as pa

from winnow.datasets.canonical.spec import DatasetSpec


@dataclass(frozen=True)
class Part:
    """One file of a table.

    Attributes:
        file: its name, as the person knows it.
        table: its columns, of whatever type and heading.
        broken: lines of rows that have too many or too few values, and were left out of the table.
        examples: some of them.
    """

    file: str
    table: pa.Table
    broken: int = 0
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class SourceTable:
    """One table of a source, with the name that the report calls it by, and its files in their order."""

    file: str
    parts: tuple[Part, ...]

    @classmethod
    def of(cls, file: str, table: pa.Table) -> "SourceTable":
        """A table that is one file."""
        return cls(file, (Part(file, table),))


@dataclass(frozen=True)
class Source:
    """A data set before validation.

    Attributes:
        name: where it was read from.
        root: the folder or address that relative paths of pictures and sounds are meant from.
        spec: its description.
        items: one row per item.
        users: one row per user, or None where the source knows users from the log only.
        events: the log.
        notes: what the reader decided, for the person to know.
    """

    name: str
    root: str
    spec: DatasetSpec
    items: SourceTable
    users: SourceTable | None
    events: SourceTable
    notes: tuple[str, ...] = ()
