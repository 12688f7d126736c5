"""Gorse's exports: CSV of its versions up to 0.4, JSON Lines of later ones.

``users`` (user_id, labels), ``items`` (item_id, is_hidden, categories, time_stamp, labels, description) and
``feedback`` (feedback_type, user_id, item_id, value, time_stamp). Labels are JSON, or texts with ``|`` between them. An
object of labels becomes a column per key; keys are found in a first pass, because a column has one type.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from winnow.datasets.migration.source import BadRow, Row, files_of, required
from winnow.datasets.migration.target import EVENTS, Report, TargetFolder, written
from winnow.datasets.migration.values import amount, identifier, moment, real, words

MOST_LABELS = 50
"""Columns that labels may become; the keys in most rows are taken."""

_NAMES = {
    "UserId": "user_id",
    "ItemId": "item_id",
    "IsHidden": "is_hidden",
    "Categories": "categories",
    "Timestamp": "time_stamp",
    "timestamp": "time_stamp",
    "Labels": "labels",
    "Comment": "description",
    "FeedbackType": "feedback_type",
    "Value": "value",
}

_ITEMS = {
    "item_id": pa.string(),
    "description": pa.string(),
    "category": pa.string(),
    "categories": pa.list_(pa.string()),
    "created_at": pa.int64(),
    "available": pa.bool_(),
}


def convert(folder: Path, output: Path) -> Report:
    """Write a data set of an export.

    Args:
        folder: the exported files.
        output: the data set; it must not exist.

    Raises:
        WinnowError: the output exists.
        DataError: a file is missing or cannot be read, or there is no event.
    """
    report = Report()
    items, users = required(folder, "items"), files_of(folder, "users")
    feedback = required(folder, "feedback")
    with written(output, report) as out:
        columns = {"items": _entities(out, report, "items", items), "users": _entities(out, report, "users", users)}
        out.describe(output.name, _feedback(out, report, feedback), columns)
    return report


def _entities(out: TargetFolder, report: Report, table: str, files: list[Path]) -> dict[str, list[str]]:
    """Write items or users; returns the declared columns by kind."""
    if not files:
        return {}
    is_items = table == "items"
    labels = _label_columns(files, report)
    base = _ITEMS if is_items else {"user_id": pa.string()}
    kinds = {name: pa.float64() if numeric else pa.list_(pa.string()) for name, numeric in labels.items()}
    key = "item_id" if is_items else "user_id"
    has_categories = False
    with out.table(table, pa.schema(base | kinds)) as target:
        for path, line, row in report.good(files, [key] if files[0].suffix == ".csv" else []):
            try:
                given = _named(row)
                made: Row = _item(given) if is_items else {"user_id": identifier(given.get("user_id"), "user_id")}
                for name, value in _labels(given.get("labels")).items():
                    if (numeric := labels.get(name)) is not None:
                        made[name] = real(value) if numeric else words(value)
                target.add(made)
                has_categories = has_categories or bool(made.get("categories"))
            except BadRow as bad:
                report.leave_out(path, line, str(bad))
    categorical = ["categories"] if has_categories else []
    categorical += [name for name, is_number in labels.items() if not is_number]
    found = {"categorical": categorical, "numeric": [name for name, is_number in labels.items() if is_number]}
    return {kind: names for kind, names in found.items() if names}


def _item(given: Row) -> dict[str, Any]:
    categories = words(given.get("categories"))
    return {
        "item_id": identifier(given.get("item_id"), "item_id"),
        "description": str(given.get("description") or "") or None,
        "category": categories[0] if categories else None,
        "categories": categories,
        "created_at": moment(given.get("time_stamp"), "time_stamp"),
        "available": str(given.get("is_hidden", False)).casefold() != "true",
    }


def _feedback(out: TargetFolder, report: Report, files: list[Path]) -> list[str]:
    """Write the log; returns its event types, the most frequent first."""
    found: Counter[str] = Counter()
    needed = ["feedback_type", "user_id", "item_id"] if files[0].suffix == ".csv" else []
    with out.table("events", EVENTS) as target:
        for path, line, row in report.good(files, needed):
            try:
                given = _named(row)
                happened = moment(given.get("time_stamp"), "time_stamp")
                if happened is None:
                    raise BadRow("column time_stamp: must be given")
                kind = identifier(given.get("feedback_type"), "feedback_type")
                target.add(
                    {
                        "user_id": identifier(given.get("user_id"), "user_id"),
                        "item_id": identifier(given.get("item_id"), "item_id"),
                        "event": kind,
                        "timestamp": happened,
                        "amount": amount(given.get("value")),
                    }
                )
                found[kind] += 1
            except BadRow as bad:
                report.leave_out(path, line, str(bad))
    return [kind for kind, _ in found.most_common()]


def _named(row: Row) -> Row:
    return {_NAMES.get(name, name): value for name, value in row.items()}


def _labels(given: Any) -> Mapping[str, Any]:
    """Labels by column."""
    if isinstance(given, str) and given[:1] in ("{", "["):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            raise BadRow("column labels: is not JSON") from None
    if isinstance(given, dict):
        return {f"label_{name}": value for name, value in given.items()}
    return {} if given in (None, "", "null") else {"labels": given}


def _label_columns(files: Iterable[Path], report: Report) -> dict[str, bool]:
    """Column -> whether it holds numbers, of the keys of labels; those of other types are left out with a note."""
    rows: Counter[str] = Counter()
    numeric: Counter[str] = Counter()
    textual: Counter[str] = Counter()
    for name, value in _every_label(files):
        if name in rows or len(rows) < 20 * MOST_LABELS:
            rows[name] += 1
            numeric[name] += isinstance(value, int | float) and not isinstance(value, bool)
            textual[name] += words(value) is not None
    taken: dict[str, bool] = {}
    for name, count in rows.most_common():
        if count not in (numeric[name], textual[name]) or len(taken) == MOST_LABELS:
            report.notes.append(f"{name}: not imported: neither texts in all rows nor numbers, or beyond {MOST_LABELS}")
        else:
            taken[name] = numeric[name] == count
    return taken


def _every_label(files: Iterable[Path]) -> Iterator[tuple[str, Any]]:
    for _, _, row in Report().good(files):
        try:
            labels = _labels(_named(row).get("labels"))
        except BadRow:
            continue
        yield from ((name, value) for name, value in labels.items() if value not in (None, "", []))
