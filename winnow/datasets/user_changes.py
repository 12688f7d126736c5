"""Changes of users that `winnow events export` has written, applied to a data set: attributes, merges, erasures.

They are applied in their order, over the users table. What has a moment is the user's up to it: a log that a shop keeps
itself may still have the events of a user who was erased or merged.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from winnow.datasets.canonical.dataset import Dataset
from winnow.datasets.canonical.raw import RawDataset, RawFile, RawTable
from winnow.datasets.canonical.report import Problem, data_error
from winnow.erasures.digest import VARIABLE, digest, key_id
from winnow.erasures.ledger import moment_of

_COLUMNS = ("action", "user_id", "into", "attributes", "digest", "key", "stream_id")
_AHEAD_MS = 60_000
"""Senders' clocks may be ahead by this much, so an event from before an erasure may seem to be from after it."""

_ALIAS_MS = 30 * 86_400_000
"""For how long events of a merged user are the other's, as when serving (:mod:`winnow.users.changes`)."""


class _Set(NamedTuple):
    """A user's columns were changed."""

    user_id: str
    values: Mapping[str, Any]


class _Merge(NamedTuple):
    """A user was merged into another; until ``until_ms`` the user's events are the other's."""

    user_id: str
    into: str
    until_ms: int


@dataclass
class _Changes:
    """What the changes come to.

    Attributes:
        steps: changes of attributes and merges, in order, without those of users who were erased afterwards.
        erased: digest -> events until this moment are left out, and so is the user's row of the table.
        last: id of the last change.
    """

    steps: list[_Set | _Merge] = field(default_factory=list)
    erased: dict[str, int] = field(default_factory=dict)
    last: str = ""

    @property
    def merges(self) -> list[_Merge]:
        """The merges among the steps."""
        return [step for step in self.steps if isinstance(step, _Merge)]

    @property
    def touched(self) -> set[str]:
        """The users whose rows may change."""
        return {step.user_id for step in self.steps} | {merge.into for merge in self.merges}


def with_user_changes(dataset: Dataset, source: RawDataset) -> tuple[Dataset, RawDataset]:
    """Apply the changes of a source to its validated tables, and to the ids of its impressions.

    Raises:
        DataError: a file lacks a column, or was written with another secret for erasures.
    """
    if source.user_changes is None:
        return dataset, source
    changes = _read(source, source.user_changes)
    users = _users(dataset, changes)
    events, erased = _without_erased(dataset.events, changes)
    events, merged = _renamed(events, changes)
    # A user of the log who has no row any more gets one without attributes.
    missing = pc.unique(events["user_id"]).filter(pc.invert(pc.is_in(pc.unique(events["user_id"]), users["user_id"])))
    nulls = {name: pa.nulls(len(missing), users[name].type) for name in users.column_names}
    users = pa.concat_tables([users, pa.table(nulls | {"user_id": missing})])
    note = (
        f"{source.user_changes.file}: {len(changes.touched):,} users changed, of whom {len(changes.merges):,} were "
        f"merged into others ({merged:,} events); {len(changes.erased):,} were erased ({erased:,} events)"
    )
    account = replace(dataset.account, notes=(*dataset.account.notes, note), user_changes=changes.last)
    shown = source.impressions and RawTable(
        source.impressions.file, tuple(_impressions(part, changes) for part in source.impressions.parts)
    )
    return replace(dataset, users=users, events=events, account=account), replace(source, impressions=shown)


def _read(source: RawDataset, found: RawTable) -> _Changes:
    problems = [
        Problem(part.file, name, "the column is missing; provide the files as `winnow events export` writes them")
        for part in found.parts
        for name in _COLUMNS
        if name not in part.table.column_names
    ]
    if problems:
        raise data_error(source.name, problems)
    rows = [row for part in found.parts for row in part.table.select(_COLUMNS).to_pylist()]
    # By the id's numbers: ids of different lengths do not compare as text.
    rows.sort(key=lambda row: [int(number) for number in row["stream_id"].split("-")])
    other = sum(row["action"] == "erase" and row["key"] != key_id() for row in rows)
    if other:
        what = (
            f"{other} erasures were made with another secret: set {VARIABLE} as it was then, or users would come back"
        )
        raise data_error(source.name, [Problem(found.file, "key", what)])
    changes, ids = _Changes(), dict[str, str]()
    for row in rows:
        at_ms = moment_of(row["stream_id"])
        changes.last = row["stream_id"]
        if row["action"] == "erase":
            changes.erased[row["digest"]] = at_ms
            if (gone := ids.pop(row["digest"], None)) is not None:
                changes.steps = [step for step in changes.steps if gone not in (step[0], step[1])]
            continue
        ids |= {digest(row[name]): row[name] for name in ("user_id", "into") if row[name] is not None}
        if row["action"] == "merge":
            changes.steps.append(_Merge(row["user_id"], row["into"], at_ms + _ALIAS_MS))
        else:
            changes.steps.append(_Set(row["user_id"], orjson.loads(row["attributes"])))
    return changes


def _users(dataset: Dataset, changes: _Changes) -> pa.Table:
    users, numeric = dataset.users, dataset.spec.users.numeric
    if changes.erased:
        users = users.filter(pa.array([digest(one) not in changes.erased for one in users["user_id"].to_pylist()]))
    # A table of 1,000,000 users has few changed ones: only their rows become Python values.
    is_touched = pc.is_in(users["user_id"], pa.array(sorted(changes.touched), pa.string()))
    rows = {row["user_id"]: row for row in users.filter(is_touched).to_pylist()}
    empty = dict.fromkeys(users.column_names)
    for step in changes.steps:
        if isinstance(step, _Merge):
            former = rows.pop(step.user_id, {})
            other = rows.get(step.into, empty)
            rows[step.into] = {name: former.get(name) if other[name] is None else other[name] for name in empty}
            rows[step.into]["user_id"] = step.into
        else:
            row = rows.setdefault(step.user_id, empty | {"user_id": step.user_id})
            for name, value in step.values.items():
                if name in row:
                    row[name] = _value(value, users[name].type, name in numeric)
    return _in_place(users, is_touched, pa.Table.from_pylist(list(rows.values()), users.schema))


def _in_place(users: pa.Table, is_touched: pa.ChunkedArray, changed: pa.Table) -> pa.Table:
    """The table with the changed rows in the places of their users, and new users at the end."""
    both = pa.concat_tables([users, changed])
    place = pc.index_in(changed["user_id"], users["user_id"].combine_chunks()).to_pylist()
    touched: NDArray[np.bool_] = is_touched.to_numpy().astype(np.bool_)
    order = np.where(touched, -1, np.arange(users.num_rows))
    added = []
    for row, found in enumerate(place):
        if found is None:
            added.append(users.num_rows + row)
        else:
            order[found] = users.num_rows + row
    return both.take(pa.array(np.concatenate([order[order >= 0], np.array(added, np.int64)])))


def _value(value: Any, kind: pa.DataType, is_number: bool) -> Any:
    """A value for a column; none where the column was declared otherwise when it was given."""
    if is_number:
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
    several = isinstance(value, list)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return value if several else None if value is None else [str(value)]
    return (value[0] if value else None) if several else value or None


def _without_erased(events: pa.Table, changes: _Changes) -> tuple[pa.Table, int]:
    """The log without the events of erased users up to the moment of each, and the number of those."""
    if not changes.erased:
        return events, 0
    wrong = _erased(events["user_id"], pc.fill_null(events["timestamp"], 0), changes)
    return events.filter(pc.invert(wrong)), pc.sum(wrong).as_py() or 0


def _erased(user_ids: pa.ChunkedArray, moments: pa.ChunkedArray, changes: _Changes) -> pa.ChunkedArray:
    """Whether each row is an erased user's, from before the erasure."""
    names = pc.unique(user_ids).drop_null().to_pylist()
    until = {name: changes.erased[found] for name in names if (found := digest(name)) in changes.erased}
    ends = pa.array([moment + _AHEAD_MS for moment in until.values()], pa.int64())
    end = ends.take(pc.index_in(user_ids, pa.array(list(until), pa.string())).combine_chunks())
    return pc.fill_null(pc.less_equal(moments, pa.chunked_array([end])), False)


def _renamed(events: pa.Table, changes: _Changes) -> tuple[pa.Table, int]:
    """The log with the events of merged users under the others' ids, and the number of those."""
    ids, count = events["user_id"], 0
    for former, other, until_ms in changes.merges:
        theirs = pc.and_(pc.equal(ids, former), pc.less_equal(events["timestamp"], until_ms))
        count += pc.sum(theirs).as_py() or 0
        ids = pc.if_else(theirs, other, ids)
    return events.set_column(events.column_names.index("user_id"), "user_id", ids), count


def _impressions(part: RawFile, changes: _Changes) -> RawFile:
    """A file of impressions without those of erased users, and with those of merged users under the others' ids."""
    table = part.table
    if not {"user_id", "timestamp"} <= {*table.column_names} or not pa.types.is_integer(table["timestamp"].type):
        return part
    ids = table["user_id"].cast(pa.string())
    wrong = _erased(ids, table["timestamp"].cast(pa.int64()), changes)
    for former, other, _ in changes.merges:
        ids = pc.if_else(pc.fill_null(pc.equal(ids, former), False), other, ids)
    table = table.set_column(table.column_names.index("user_id"), "user_id", ids)
    return replace(part, table=table.filter(pc.invert(wrong)))
