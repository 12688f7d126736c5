"""Rows of an export: CSV with a heading, or JSON Lines, read one by one."""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from winnow.errors import DataError

ENDINGS = (".csv", ".jsonl")
MAX_VALUE = 1 << 20
"""Characters of a value."""

Row = dict[str, Any]


class BadRow(Exception):
    """A row that is left out; the message is the reason."""


def files_of(folder: Path, table: str) -> list[Path]:
    """The files of a table: those whose name begins with its name, and those in a folder of that name."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: give the one with the exported files")
    beside = [path for path in folder.iterdir() if path.name.casefold().startswith(table) and path.is_file()]
    inside = [path for path in folder.rglob("*") if path.parent.name.casefold() == table and path.is_file()]
    return sorted(path for path in {*beside, *inside} if path.suffix in ENDINGS)


def required(folder: Path, table: str) -> list[Path]:
    """The files of a table that must exist.

    Raises:
        DataError: there is none.
    """
    files = files_of(folder, table)
    if not files:
        raise DataError(f"{folder} has no {table} table: put {table}.csv or {table}.jsonl there")
    return files


def rows(path: Path, needed: Sequence[str] = ()) -> Iterator[tuple[int, Row | BadRow]]:
    """Line number and values of each row; a row that cannot be read comes as the reason.

    Args:
        path: the file.
        needed: columns that a CSV file must have.

    Raises:
        DataError: the file is not UTF-8, or lacks a column.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from _json_lines(file) if path.suffix == ".jsonl" else _csv(path, file, needed)
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 (byte {error.start}): convert it, as by iconv -t utf-8") from None


def _csv(path: Path, file: Any, needed: Sequence[str]) -> Iterator[tuple[int, Row | BadRow]]:
    csv.field_size_limit(MAX_VALUE)
    reader = csv.reader(file, strict=True)
    heading = next(reader, [])
    if missing := [name for name in needed if name not in heading]:
        raise DataError(f"{path} has no column {missing[0]}; its columns are {', '.join(heading) or 'none'}")
    while True:
        line = reader.line_num + 1
        try:
            values = next(reader, None)
        except csv.Error as error:
            yield line, BadRow(f"is not CSV: {error}")
            continue
        if values is None:
            return
        if not values:
            continue
        if len(values) != len(heading):
            yield line, BadRow(f"has {len(values)} values, and the heading {len(heading)}")
        else:
            yield line, dict(zip(heading, values, strict=True))


def _json_lines(file: Any) -> Iterator[tuple[int, Row | BadRow]]:
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            yield number, BadRow("is not JSON")
            continue
        yield number, row if isinstance(row, dict) else BadRow("is not an object")
