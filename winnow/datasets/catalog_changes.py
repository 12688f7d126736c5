"""Applies the exported changes of the catalog to the items of a data set, in the order in which they were made.

The files are those that ``winnow events export`` writes to ``catalog/``. An item that was deleted stays out of the data
set, even if its row is still in the file of items, until a later change adds it again.
"""

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from winnow.catalog.change import AVAILABLE, MEDIA, Change, Overlay, position
from winnow.datasets.canonical.raw import RawTable
from winnow.datasets.canonical.report import Problem, data_error
from winnow.datasets.canonical.validate import EditedItems

COLUMNS = ("stream_id", "action", "item_id", "document", "image", "audio")

_TEXTS = (pa.types.is_string, pa.types.is_large_string)


def overlays(source: str, root: str, table: RawTable) -> dict[str, Overlay]:
    """What the changes of each item add up to.

    Args:
        source: name of the data set, for messages.
        root: folder or address that the paths of media start from.
        table: the files.

    Raises:
        DataError: a file lacks a column, or has a row that is no change.
    """
    changes: dict[str, dict[str, Any]] = {}
    for part in table.parts:
        missing = [name for name in COLUMNS if name not in part.table.column_names]
        if missing:
            what = "the column is missing; keep the files of `winnow events export` as they are, or move them away"
            raise data_error(source, [Problem(part.file, missing[0], what)])
        for row in part.table.select(COLUMNS).to_pylist():
            changes[row["stream_id"]] = row
    found: dict[str, Overlay] = {}
    for stream_id in sorted(changes, key=position):
        change = _change(changes[stream_id], root)
        if change is None:
            what = f"{stream_id} is no change; keep the files of `winnow events export` as they are"
            raise data_error(source, [Problem(table.file, "document", what)])
        found[change.item_id] = found.get(change.item_id, Overlay()).after(change, stream_id)
    return found


def edited(items: pa.Table, changes: Mapping[str, Overlay]) -> EditedItems:
    """The items with their changes.

    Args:
        items: in canonical columns.
        changes: item -> what its changes add up to.
    """
    if not changes:
        return EditedItems(items)
    ids, names = items["item_id"].to_pylist(), items.column_names
    rows = {item_id: row for row, item_id in enumerate(ids) if item_id in changes}
    was = dict(zip(rows, items.take(pa.array(rows.values(), pa.int64())).to_pylist(), strict=True))
    nothing: dict[str, Any] = dict.fromkeys(names)
    unread: set[str] = set()
    now: dict[str, list[Any]] = {name: [] for name in names}
    for item_id, overlay in changes.items():
        if overlay.deleted or (not overlay.on_base and not overlay.values and not overlay.media):
            continue
        base = was.get(item_id, nothing) if overlay.on_base else nothing
        merged = {**base, **overlay.values, **overlay.media, "item_id": item_id}
        if merged.get(AVAILABLE) is None:
            merged[AVAILABLE] = True
        unread |= merged.keys() - set(names)
        for name in names:
            now[name].append(merged[name])
    # All columns become what holds the values of both: a list where either is one.
    parts = {name: _together(items[name], now[name], unread, name) for name in names}
    untouched = pa.array([item_id not in changes for item_id in ids], pa.bool_())
    before = pa.table({name: before for name, (before, _) in parts.items()}).filter(untouched)
    after = pa.table({name: after for name, (_, after) in parts.items()})
    whole = pa.concat_tables([before, after])
    # In the order of the file, new items last.
    order = {item_id: row for row, item_id in enumerate(ids)}
    places = [order.get(item_id, len(ids)) for item_id in whole["item_id"].to_pylist()]
    whole = whole.take(pc.sort_indices(pa.array(places, pa.int64())))
    deleted = [item_id for item_id, overlay in changes.items() if overlay.deleted]
    notes = [f"catalog/: {len(changes):,} items have changed, of which {len(deleted):,} are deleted"]
    if unread:
        notes.append(
            f"catalog/: what does not fit the columns of this data set is not applied: {', '.join(sorted(unread))}"
        )
    return EditedItems(
        whole, pa.array(deleted, pa.string()), tuple(notes), max((o.version for o in changes.values()), key=position)
    )


def _change(row: Mapping[str, Any], root: str) -> Change | None:
    if row["action"] not in ("upsert", "disable", "enable", "delete") or not row["item_id"]:
        return None
    if row["action"] != "upsert":
        return Change(row["item_id"], row["action"])
    try:
        document = json.loads(row["document"])
    except (TypeError, ValueError):
        return None
    if not isinstance(document, dict):
        return None
    media: dict[str, Any] = {name: document.pop(name) for name in MEDIA if name in document}
    media |= {name: f"{root.rstrip('/')}/{row[name]}" for name in MEDIA if row[name]}
    return Change(row["item_id"], "upsert", document, media)


def _together(column: pa.ChunkedArray, values: list[Any], unread: set[str], name: str) -> tuple[Any, pa.Array]:
    """The former column and the values of the changed rows, of one type; a value that does not fit is left out."""
    kind = column.type
    if any(isinstance(value, list) for value in values) and any(is_text(kind) for is_text in _TEXTS):
        texts = column.to_pylist()
        kind = pa.list_(pa.string())
        column = pa.chunked_array([pa.array([None if text is None else [text] for text in texts], kind)])
    if pa.types.is_list(kind):
        values = [[value] if isinstance(value, str) else value for value in values]
    try:
        return column, pa.array(values, kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        unread.add(name)
        return column, pa.array([value if _fits(value, kind) else None for value in values], kind)


def _fits(value: Any, kind: pa.DataType) -> bool:
    try:
        pa.array([value], kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return False
    return True
