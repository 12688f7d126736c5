"""What a reader hands to validation: tables as they were found, and where."""

from dataclasses import dataclass

import pyarrow as pa

from winnow.datasets.spec import DatasetSpec


@dataclass(frozen=True)
class SourceTable:
    """One table of a source, with the name that the report calls it by."""

    file: str
    table: pa.Table


@dataclass(frozen=True)
class Source:
    """A data set before validation.

    Attributes:
        name: where it was read from.
        spec: its description.
        items: one row per item.
        users: one row per user, or None where the source knows users from the log only.
        events: the log.
    """

    name: str
    spec: DatasetSpec
    items: SourceTable
    users: SourceTable | None
    events: SourceTable
