"""Reads a file of items, validates every row, and sends the items to the running stack."""

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa

from winnow import fields, moments, protocols
from winnow.cli.catalog.sending import Interrupted, send
from winnow.datasets.canonical import columns, headers
from winnow.datasets.canonical.columns import ITEM_COLUMNS, Kind
from winnow.datasets.canonical.types import normalised
from winnow.datasets.readers.reading import check_text, read_part
from winnow.encoders import media
from winnow.encoders.inputs import EncoderInputs, Modality
from winnow.encoders.preparation import INPUTS_FILE
from winnow.errors import DataError, WinnowError
from winnow.features.row import declared_columns
from winnow.release import Release
from winnow.request import MAX_BODY_BYTES, MAX_INSTANCES

MEDIA: tuple[Modality, ...] = ("image", "audio")

_ITEMS_PER_CALL = MAX_INSTANCES
"""Maximum number of items per request."""

_CALL_BYTES = MAX_BODY_BYTES - (1 << 20)
"""Maximum base64 size of the pictures and sounds of a request; 1 MiB is left for all other fields."""

_MOST_ROWS = 1_000_000
"""Rows of a file; all are validated before any is sent. A release has a bound of its own on new items."""

_SHOWN = 20
"""Maximum number of problems in a message."""


@dataclass(frozen=True)
class Addition:
    """An item of the file.

    Attributes:
        row: number of its row, from 1.
        instance: its request to the ``items`` model, without pictures and sounds.
        media: modality -> path or address of its picture or sound.
    """

    row: int
    instance: dict[str, Any]
    media: dict[Modality, str]


def read(path: Path, release: Release, clear_empty: bool = False) -> list[Addition]:
    """Read a CSV, Parquet or JSON Lines file of items.

    Pictures and sounds of modalities that the release has no encoder for are ignored.

    Args:
        path: the file; relative ``image`` and ``audio`` paths start at its folder.
        release: the release that the items are added to.
        clear_empty: whether an empty cell clears its column; otherwise the item keeps its value.

    Raises:
        DataError: rows are invalid; the message has the number and the fault of each.
        WinnowError: the file does not exist or has another format.
    """
    table = _table(path)
    if not 1 <= table.num_rows <= _MOST_ROWS:
        raise DataError(f"{path} has {table.num_rows:,} rows; a file may have 1 to {_MOST_ROWS:,}: split it")
    categorical, numeric = declared_columns(release.schema)
    kinds: dict[str, Kind] = ITEM_COLUMNS | dict.fromkeys(categorical, "choice") | dict.fromkeys(numeric, "number")
    problems: list[tuple[int, str]] = []
    found = _found(path, table, kinds)
    read = {name: _converted(name, column, kinds[name], problems) for name, column in found.items()}
    encoders = EncoderInputs.model_validate_json((release.folder / INPUTS_FILE).read_bytes()).widths
    modalities = [name for name in MEDIA if name in encoders]
    additions = []
    for position in range(table.num_rows):
        given = {name: values[position] for name, values in read.items() if values[position] not in (None, "")}
        places = {name: _place(path, given[name]) for name in modalities if name in given}
        features = {name: given[name] for name in (*categorical, *numeric) if name in given}
        instance = {name: value for name, value in given.items() if name in ITEM_COLUMNS and name not in MEDIA}
        empty = [name for name, values in read.items() if clear_empty and values[position] in (None, "")]
        more = ({"features": features} if features else {}) | ({"clear": empty} if empty else {})
        additions.append(Addition(position + 1, instance | more, places))
    problems += _wrong(additions)
    if problems:
        raise _report(path, problems)
    return additions


def add(endpoint: httpx.Client, path: Path, additions: list[Addition], show_progress: bool) -> list[dict[str, Any]]:
    """Send items to the running stack in batches.

    Returns:
        The response for each item: ``item_id``, whether it was ``replaced``, and the ``nearest`` items.

    Raises:
        WinnowError: the endpoint does not answer or rejects an item; the message names its row and the number added.
    """

    def call(batch: list[Addition]) -> list[dict[str, Any]]:
        return protocols.add_items(endpoint, [_complete(addition) for addition in batch])

    try:
        return send(_batches(additions), call, len(additions), "sending items", show_progress)
    except Interrupted as error:
        raise WinnowError(
            f"{path}: {_with_rows(error.reason, error.batch)}\n{error.done} of {len(additions)} items were added; "
            "correct this and run it again: items that were added before are replaced"
        ) from error


def _table(path: Path) -> pa.Table:
    if not path.is_file():
        raise WinnowError(f"there is no file {path}")
    if path.suffix in (".csv", ".parquet"):
        return read_part(path, str(path.parent), path.name).table
    if path.suffix in (".jsonl", ".ndjson"):
        return _json_lines(path)
    raise WinnowError(f"{path} must be .csv, .parquet or .jsonl")


def _json_lines(path: Path) -> pa.Table:
    check_text(path, str(path.parent), path.name)
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}, row {number}: is not JSON: {error}") from None
        if not isinstance(row, dict):
            raise DataError(f"{path}, row {number}: must be an object")
        rows.append(row)
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: _column([row.get(name) for row in rows]) for name in names})


def _column(values: list[Any]) -> pa.Array:
    """A column of JSON values; values of several types become text, so that each is validated by itself."""
    if any(isinstance(value, list) for value in values):
        values = [value if value is None or isinstance(value, list) else [value] for value in values]
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([value if value is None or isinstance(value, str) else json.dumps(value) for value in values])


def _found(path: Path, table: pa.Table, kinds: dict[str, Kind]) -> dict[str, pa.ChunkedArray]:
    """The columns of the file that belong to an item, by name and in the canonical types."""
    matched = headers.match(table.column_names, kinds)
    if matched.several:
        name, headings = next(iter(matched.several.items()))
        raise DataError(f"{path} has several columns that could be {name}: {', '.join(headings)}; keep one")
    if "item_id" not in matched.places:
        raise DataError(f"{path} has no column item_id; its columns are {', '.join(table.column_names)}")
    return {name: normalised(table.select([place])).column(0) for name, place in matched.places.items()}


def _converted(name: str, column: pa.ChunkedArray, kind: Kind, problems: list[tuple[int, str]]) -> list[Any]:
    """Convert a column to the type of its kind; an invalid value adds a problem of its row and becomes ``None``."""
    try:
        return list(columns.convert(column, kind).to_pylist())
    except ValueError:
        pass
    converted: list[Any] = []
    for row in range(len(column)):
        try:
            converted += columns.convert(column.slice(row, 1), kind).to_pylist()
        except ValueError:
            value = column[row].as_py()
            problems.append((row + 1, f"column {name}: expected {columns.IN_WORDS[kind]}, got {value!r:.80}"))
            converted.append(None)
    return converted


def _place(path: Path, location: str) -> str:
    return location if "://" in location else str(path.resolve().parent / location)


def _wrong(additions: Iterable[Addition]) -> Iterator[tuple[int, str]]:
    first: dict[str, int] = {}
    for addition in additions:
        row, item = addition.row, addition.instance
        if "item_id" not in item:
            yield row, "column item_id: no value; fill it in"
        elif first.setdefault(item["item_id"], row) != row:
            yield row, f"column item_id: {item['item_id']!r} is in row {first[item['item_id']]} already"
        elif fault := fields.identifier_fault(item["item_id"]):
            yield row, f"column item_id: must be {fault}, got {item['item_id']!r:.80}"
        if item.get("price", 0) < 0:
            yield row, f"column price: a negative price, {item['price']}"
        if "created_at" in item and (fault := moments.fault(item["created_at"], moments.IMPLAUSIBLE_CREATION)):
            yield row, f"column created_at: must be {fault}, got {item['created_at']}"
        sizes = 0
        for name, location in addition.media.items():
            if "://" in location and not location.startswith("s3://"):
                yield row, f"column {name}: URLs are not fetched; give a local file, got {location!r:.80}"
                continue
            try:
                sizes += _base64_size(len(media.read(location)))
            except media.BrokenMedia as error:
                yield row, f"column {name}: {error}"
        if sizes > _CALL_BYTES:
            yield row, f"picture and sound together are more than the {_CALL_BYTES:,} bytes of one call, in base64"


def _report(path: Path, problems: list[tuple[int, str]]) -> DataError:
    lines = [f"  {path.name}, row {row}, {what}" for row, what in sorted(problems)]
    more = [f"  and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    count = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
    return DataError("\n".join([f"{path} cannot be added: {count}. Nothing was sent.", *lines[:_SHOWN], *more]))


def _batches(additions: Iterable[Addition]) -> Iterator[list[Addition]]:
    batch: list[Addition] = []
    size = 0
    for addition in additions:
        more = sum(_base64_size(len(media.read(location))) for location in addition.media.values())
        if batch and (len(batch) == _ITEMS_PER_CALL or size + more > _CALL_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(addition)
        size += more
    if batch:
        yield batch


def _with_rows(message: str, batch: Sequence[Addition]) -> str:
    return re.sub(r"instances\[(\d+)\]", lambda match: f"row {batch[int(match[1])].row}", message)


def _complete(addition: Addition) -> dict[str, Any]:
    contents = {name: protocols.encoded(media.read(location)) for name, location in addition.media.items()}
    return addition.instance | contents


def _base64_size(count: int) -> int:
    return math.ceil(count / 3) * 4


def ids(path: Path) -> list[str]:
    """The distinct ids in the column ``item_id`` of a CSV, Parquet or JSON Lines file.

    Raises:
        DataError: the file has no such column, or an id is invalid; the message has the number of its row.
        WinnowError: the file does not exist or has another format.
    """
    table = _table(path)
    problems: list[tuple[int, str]] = []
    found = _converted("item_id", _found(path, table, {"item_id": "id"})["item_id"], "id", problems)
    for row, item_id in enumerate(found, start=1):
        if fault := fields.identifier_fault(item_id or ""):
            problems.append((row, f"column item_id: must be {fault}, got {item_id!r:.80}"))
    if problems:
        raise _report(path, problems)
    return list(dict.fromkeys(found))
