"""Amazon Personalize's bulk data: CSV files of ``interactions``, ``items`` and ``users``, with their Avro schemas.

A schema is a JSON file with a record named Interactions, Items or Users; it says which columns are categorical (``|``
separates several values), textual or numeric. Without one, a column whose values are all numbers is numeric.
"""

import json
from collections import Counter, OrderedDict
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from winnow.datasets.migration.source import BadRow, Row, files_of, required
from winnow.datasets.migration.target import EVENTS, IMPRESSIONS, Report, Table, TargetFolder, written
from winnow.datasets.migration.values import amount, identifier, real, seconds, words

Kind = Literal["categorical", "numeric", "text"]

NO_TYPE = "interaction"
"""The event type of interactions without EVENT_TYPE."""

_TEXTS = {"title": ("TITLE", "NAME", "PRODUCT_NAME"), "description": ("DESCRIPTION", "PRODUCT_DESCRIPTION")}
_OF_ITEMS = ("CREATION_TIMESTAMP", "PRICE", *(name for names in _TEXTS.values() for name in names))
_CATEGORY = ("CATEGORY_L1", "CATEGORY", "GENRES")
_KEYS = {"items": "ITEM_ID", "users": "USER_ID"}
_NUMBERS = frozenset(("float", "double", "int", "long"))
_REMEMBERED = 100_000
"""Recommendations whose impressions were written; an interaction with one of them repeats the list."""


def convert(folder: Path, output: Path) -> Report:
    """Write a data set of an export.

    Args:
        folder: the files.
        output: the data set; it must not exist.

    Raises:
        WinnowError: the output exists.
        DataError: a file is missing or cannot be read, or there is no event.
    """
    report = Report()
    schemas = _schemas(folder)
    tables = {"items": required(folder, "items"), "users": files_of(folder, "users")}
    interactions = required(folder, "interactions")
    with written(output, report) as out:
        columns = {
            table: _entities(out, report, table, files, schemas.get(table, {}))
            for table, files in tables.items()
            if files
        }
        out.describe(output.name, _interactions(out, report, interactions), columns)
    return report


def _schemas(folder: Path) -> dict[str, dict[str, Kind]]:
    """Table -> column -> kind, of the schemas in the folder."""
    found: dict[str, dict[str, Kind]] = {}
    for path in sorted(folder.rglob("*.json")):
        try:
            schema = json.loads(path.read_bytes())
            found[str(schema["name"]).casefold()] = {str(one["name"]): _kind(one) for one in schema["fields"]}
        except (ValueError, KeyError, TypeError, RecursionError):
            # Not a schema.
            continue
    return found


def _kind(declared: dict[str, Any]) -> Kind:
    types = declared["type"] if isinstance(declared["type"], list) else [declared["type"]]
    if declared.get("textual"):
        return "text"
    return "numeric" if _NUMBERS & set(map(str, types)) and not declared.get("categorical") else "categorical"


def _inferred(files: list[Path]) -> dict[str, Kind]:
    """Column -> kind, by its values."""
    texts: dict[str, bool] = {}
    for _, _, row in Report().good(files):
        for name, value in row.items():
            texts[name] = texts.get(name, False) or (value != "" and real(value) is None)
    return {name: "categorical" if text else "numeric" for name, text in texts.items()}


def _entities(
    out: TargetFolder, report: Report, table: str, files: list[Path], schema: dict[str, Kind]
) -> dict[str, list[str]]:
    """Write items or users; returns the declared columns by kind."""
    key = _KEYS[table]
    kinds = schema or _inferred(files)
    known = {key, *(_OF_ITEMS if table == "items" else ())}
    declared = {name: kind for name, kind in kinds.items() if kind != "text" and name not in known}
    arrow = {n.casefold(): pa.float64() if k == "numeric" else pa.list_(pa.string()) for n, k in declared.items()}
    base: dict[str, Any] = {key.casefold(): pa.string()}
    if table == "items":
        texts = {"title": pa.string(), "description": pa.string(), "category": pa.string()}
        base |= texts | {"price": pa.float64(), "created_at": pa.int64()}
    clashing = set(base) & set(arrow)
    arrow = {name: kind for name, kind in arrow.items() if name not in clashing}
    with out.table(table, pa.schema(base | arrow)) as target:
        for path, line, row in report.good(files, [key]):
            try:
                made = {key.casefold(): identifier(row[key], key)} | (_item(row) if table == "items" else {})
                for name, kind in declared.items():
                    if name.casefold() in arrow:
                        given = row.get(name, "")
                        made[name.casefold()] = real(given) if kind == "numeric" else words(given)
                target.add(made)
            except BadRow as bad:
                report.leave_out(path, line, str(bad))
    split: dict[str, list[str]] = {"categorical": [], "numeric": []}
    for name, kind in declared.items():
        if name.casefold() in arrow:
            split[kind].append(name.casefold())
    return {kind: names for kind, names in split.items() if names}


def _item(row: Row) -> dict[str, Any]:
    made: dict[str, Any] = {
        column: next((row[name] for name in names if row.get(name)), None) for column, names in _TEXTS.items()
    }
    category = words(next((row[name] for name in _CATEGORY if row.get(name)), ""))
    created = row.get("CREATION_TIMESTAMP")
    return made | {
        "category": category[0] if category else None,
        "price": amount(row.get("PRICE")),
        "created_at": seconds(created, "CREATION_TIMESTAMP") if created else None,
    }


def _interactions(out: TargetFolder, report: Report, files: list[Path]) -> list[str]:
    """Write the log and the impressions; returns the event types, the most frequent first."""
    found: Counter[str] = Counter()
    shown: OrderedDict[str, None] = OrderedDict()
    with ExitStack() as stack:
        events = stack.enter_context(out.table("events", EVENTS))
        impressions = stack.enter_context(out.table("impressions", IMPRESSIONS))
        for path, line, row in report.good(files, ["USER_ID", "ITEM_ID", "TIMESTAMP"]):
            try:
                kind = identifier(row.get("EVENT_TYPE", NO_TYPE), "EVENT_TYPE")
                event = {
                    "user_id": identifier(row["USER_ID"], "USER_ID"),
                    "item_id": identifier(row["ITEM_ID"], "ITEM_ID"),
                    "event": kind,
                    "timestamp": seconds(row["TIMESTAMP"], "TIMESTAMP"),
                    "amount": amount(row.get("EVENT_VALUE")),
                }
                events.add(event)
                found[kind] += 1
                if row.get("IMPRESSION"):
                    request = row.get("RECOMMENDATION_ID") or f"{path.stem}-{line}"
                    _impression(impressions, shown, request, event, words(row["IMPRESSION"]) or [])
            except BadRow as bad:
                report.leave_out(path, line, str(bad))
    if report.rows.get("impressions"):
        report.notes.append("impressions: their propensities are unknown and count as 1")
    return [kind for kind, _ in found.most_common()]


def _impression(table: Table, shown: OrderedDict[str, None], request: str, event: Row, items: list[str]) -> None:
    """Write the list that an interaction saw, once per recommendation."""
    if request in shown:
        return
    shown[request] = None
    if len(shown) > _REMEMBERED:
        shown.popitem(last=False)
    for position, item in enumerate(items):
        table.add(
            {
                "request_id": identifier(request, "RECOMMENDATION_ID"),
                "user_id": event["user_id"],
                "item_id": identifier(item, "IMPRESSION"),
                "timestamp": event["timestamp"],
                "position": position,
                "propensity": 1.0,
            }
        )
