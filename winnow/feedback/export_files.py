"""The Parquet files of an export: their schemas, and how stream entries become rows.

A file is named after its first entry, so writing it again after a crash replaces it. Data sets read these files: the
folder ``events/`` as their log, ``impressions/`` as their impressions (:mod:`winnow.datasets.impressions`).
"""

import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from winnow import files
from winnow.errors import WinnowError
from winnow.feedback.impressions import PLAIN
from winnow.store.events import Entry, amount_of
from winnow.store.keys import EVENTS, IMPRESSIONS

_ENDING = ".parquet"
_FOOTER = 2**16
"""Bytes at the end of a file that are read for its number of rows; the footer of an export takes some kilobytes."""

_NAME = re.compile(r"/\d+-\d+\.parquet$")
_HISTORIES = ("history_items", "history_events", "history_timestamps")

EVENT_SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("event", pa.string()),
        ("timestamp", pa.int64()),
        ("amount", pa.float64()),
        ("event_id", pa.string()),
        ("stream_id", pa.string()),
    ]
)

ARMS = pa.list_(pa.struct([("experiment", pa.string()), ("arm", pa.string())]))
"""The experiments that the user took part in; empty for none."""

IMPRESSION_SCHEMA = pa.schema(
    [
        ("request_id", pa.string()),
        ("user_id", pa.string()),
        ("release", pa.int64()),
        ("timestamp", pa.int64()),
        (
            "items",
            pa.list_(
                pa.struct(
                    [
                        ("item_id", pa.string()),
                        ("position", pa.int64()),
                        ("score", pa.float64()),
                        ("propensity", pa.float64()),
                        ("sources", pa.list_(pa.string())),
                    ]
                )
            ),
        ),
        ("degraded", pa.list_(pa.string())),
        ("arms", ARMS),
        ("form", pa.string()),
        ("features", pa.string()),
        ("item_rows", pa.binary()),
        ("user_row", pa.binary()),
        *((name, pa.binary()) for name in _HISTORIES),
        ("stream_id", pa.string()),
    ]
)


@dataclass(frozen=True)
class StreamTable:
    """The table of one of the two streams.

    Attributes:
        stream: key of the stream, and name of the folder.
        schema: schema of the files.
        read: converts the fields of an entry to columns; raises ``KeyError`` or ``ValueError`` for an invalid entry.
    """

    stream: str
    schema: pa.Schema
    read: Callable[[Mapping[bytes, bytes]], dict[str, Any]]

    def row(self, entry: Entry) -> dict[str, Any] | None:
        """Convert an entry to a row; returns ``None`` for an invalid entry."""
        stream_id, fields = entry
        try:
            # Redis returns an entry that was deleted from the stream without fields.
            return self.read(fields or {}) | {"stream_id": stream_id.decode()}
        except (KeyError, ValueError):
            return None


def _event(fields: Mapping[bytes, bytes]) -> dict[str, Any]:
    event_id = fields.get(b"event_id")
    return {
        "user_id": fields[b"user_id"].decode(),
        "item_id": fields[b"item_id"].decode(),
        "event": fields[b"event"].decode(),
        "timestamp": int(fields[b"timestamp"]),
        "amount": amount_of(fields),
        "event_id": None if event_id is None else event_id.decode(),
    }


def _impression(fields: Mapping[bytes, bytes]) -> dict[str, Any]:
    return {
        "request_id": fields[b"request_id"].decode(),
        "user_id": fields[b"user_id"].decode() or None,
        "release": int(fields[b"release"]),
        "timestamp": int(fields[b"timestamp"]),
        "items": json.loads(fields[b"items"]),
        "degraded": json.loads(fields[b"degraded"]),
        "arms": [
            {"experiment": experiment, "arm": arm} for experiment, arm in json.loads(fields.get(b"arms", b"{}")).items()
        ],
        "form": fields.get(b"form", PLAIN.encode()).decode(),
        "features": fields[b"features"].decode(),
        **{name: fields.get(name.encode()) for name in ("item_rows", "user_row", *_HISTORIES)},
    }


EVENT_TABLE = StreamTable(EVENTS, EVENT_SCHEMA, _event)
IMPRESSION_TABLE = StreamTable(IMPRESSIONS, IMPRESSION_SCHEMA, _impression)


def write(folder: str, table: StreamTable, rows: Sequence[dict[str, Any]]) -> str:
    """Write rows as one file, atomically.

    Args:
        folder: folder of the export, local or ``s3://``.
        table: the stream's table.
        rows: at least one row, in stream order.

    Returns:
        Address of the file.

    Raises:
        WinnowError: the folder cannot be written.
    """
    content = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), table.schema), content, compression="zstd")
    address = files.inside(folder, table.stream, f"{rows[0]['stream_id']}{_ENDING}")
    files.write(address, content.getvalue())
    return address


def written(folder: str, table: StreamTable) -> list[str]:
    """List the addresses of a table's files, oldest first; files with other names are ignored.

    Raises:
        WinnowError: the folder cannot be read.
    """
    found = files.listed(files.inside(folder, table.stream), _ENDING)
    return sorted(filter(_NAME.search, found), key=first)


def events(address: str) -> Iterator[Entry]:
    """Yield the events of a file as stream entries.

    Raises:
        WinnowError: the file cannot be read.
    """
    # Files of earlier versions have no column amount, which ParquetFile.read then leaves out.
    with pq.ParquetFile(io.BytesIO(files.read(address))) as parquet:
        table = parquet.read(columns=EVENT_SCHEMA.names)
    for batch in table.to_batches(max_chunksize=10_000):
        for row in batch.to_pylist():
            stream_id = row.pop("stream_id").encode()
            yield stream_id, {name.encode(): str(value).encode() for name, value in row.items() if value is not None}


def first(address: str) -> tuple[int, int]:
    """The position of a file's first entry in the stream, which names the file."""
    milliseconds, _, sequence = address.rpartition("/")[2].removesuffix(_ENDING).partition("-")
    return int(milliseconds), int(sequence)


def count(address: str) -> int:
    """The number of rows of a file, of which only the end is read.

    Raises:
        WinnowError: the file cannot be read, or is not Parquet.
    """
    end = files.read_end(address, _FOOTER)
    needed = int.from_bytes(end[-8:-4], "little") + 8
    if len(end) < needed:
        end = files.read_end(address, needed)
    try:
        return int(pq.read_metadata(io.BytesIO(end)).num_rows)
    except pa.ArrowInvalid as error:
        raise WinnowError(f"{address} is not a whole Parquet file: {error}") from error
