"""Impressions of a data set: the items that the endpoint showed, in the form that ``winnow events export`` writes.

A file has one row per request with its ``items``, or one row per shown item, as a saved data set has. Rows that cannot
be learned from are left out and counted; impressions never make a data set invalid, unless a file lacks a column.
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import reduce

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from winnow import moments
from winnow.datasets.canonical import checks, convert
from winnow.datasets.canonical.account import LeftOut
from winnow.datasets.canonical.checks import Fault
from winnow.datasets.canonical.columns import Kind
from winnow.datasets.canonical.convert import TableContract
from winnow.datasets.canonical.dataset import IMPRESSIONS, Dataset
from winnow.datasets.canonical.raw import RawDataset, RawFile
from winnow.datasets.canonical.report import Problem, data_error
from winnow.datasets.canonical.spec import DeclaredColumns
from winnow.schema import DAY_MS

_KINDS: dict[str, Kind] = {
    "request_id": "id",
    "user_id": "id",
    "item_id": "id",
    "timestamp": "moment",
    "position": "number",
    "propensity": "number",
    "form": "text",
}
_OF_REQUEST = ("request_id", "user_id", "timestamp", "form")
_PLAIN = "plain"
"""The form of a recommendation; files of earlier versions have no other, and no column ``form``."""

_OF_ITEM = ("item_id", "position", "propensity")
_KEY = ["request_id", "user_id", "timestamp", "item_id"]
_ORDER = [(name, "ascending") for name in ("timestamp", "request_id", "user_id", "position")]
_POSITIONS = 2**31
_REMEDY = "provide impressions as `winnow events export` writes them, or rename a table that is something else"


def with_impressions(dataset: Dataset, source: RawDataset) -> Dataset:
    """Add the impressions of a source to its validated tables.

    Raises:
        DataError: a file of the impressions lacks a column, or has one of another type.
    """
    found = source.impressions
    if found is None:
        return dataset
    required = [name for name in _KINDS if name != "form"]
    contract = TableContract.of(_KINDS, required, DeclaredColumns(), lenient=["timestamp"])
    flattened = [_one_row_per_item(part) for part in found.parts]
    problems = [part for part in flattened if isinstance(part, Problem)]
    reads = [convert.convert_file(part, contract) for part in flattened if isinstance(part, RawFile)]
    table, differing = convert.together(found, [read.table for read in reads], contract)
    problems += [problem for read in reads for problem in read.problems] + differing
    if problems:
        raise data_error(source.name, problems)
    faults = list(_faults(table, dataset, source.items.file))
    wrong = reduce(pc.or_, [pc.fill_null(fault.wrong, False) for fault in faults])
    good = table.filter(pc.invert(wrong))
    what = "the same item of the same request again, as after a second export"
    again = Fault("request_id", what, _again(good), good["request_id"])
    kept = good.filter(pc.invert(again.wrong)).sort_by(_ORDER)
    reasons = tuple(problem for fault in (*faults, again) if (problem := fault.problem(found.file)))
    requests = pc.count_distinct(kept["request_id"]).as_py()
    note = f"{found.file}: {kept.num_rows:,} impressions of an item, in {requests:,} requests"
    account = replace(
        dataset.account,
        notes=(*dataset.account.notes, note),
        impressions=LeftOut(table.num_rows, table.num_rows - kept.num_rows, reasons),
    )
    return replace(dataset, impressions=kept.select(IMPRESSIONS.names).cast(IMPRESSIONS), account=account)


def before_held_out(impressions: pa.Table, held: pa.Table) -> pa.Table:
    """The impressions without those of a user at or after the user's first held-out event.

    Args:
        impressions: a data set's.
        held: the held-out events, with ``user_id`` and ``timestamp``.
    """
    first = held.group_by("user_id").aggregate([("timestamp", "min")])
    until = first["timestamp_min"].take(pc.index_in(impressions["user_id"], first["user_id"]))
    return impressions.filter(pc.fill_null(pc.less(impressions["timestamp"], until), True))


def _one_row_per_item(part: RawFile) -> RawFile | Problem:
    """A file with the items of its requests as rows, and their numbers as floats, null where they are not finite."""
    table = part.table
    if "item_id" not in table.column_names:
        if "items" not in table.column_names:
            return Problem(part.file, "items", f"the column is missing; {_REMEDY}")
        kind = table.schema.field("items").type
        lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
        if not (lists and pa.types.is_struct(kind.value_type)):
            what = f"expected a list of structs with {', '.join(_OF_ITEM)}, not {kind}; {_REMEDY}"
            return Problem(part.file, "items", what)
        empty = pa.RecordBatch.from_pylist([], schema=table.schema)
        table = pa.Table.from_batches(map(_items, table.to_batches() or [empty]))
    for name in (name for name in _OF_ITEM[1:] if name in table.column_names):
        table = table.set_column(table.column_names.index(name), name, _finite(table[name]))
    return RawFile(part.file, table)


def _items(requests: pa.RecordBatch) -> pa.RecordBatch:
    lists = requests["items"]
    request, shown = pc.list_parent_indices(lists), pc.list_flatten(lists)
    columns = {name: requests[name].take(request) for name in _OF_REQUEST if name in requests.schema.names}
    columns |= {name: pc.struct_field(shown, name) for name in _OF_ITEM if shown.type.get_field_index(name) >= 0}
    return pa.RecordBatch.from_pydict(columns)


def _finite(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return column
    numbers = column.cast(pa.float64(), safe=False)
    return pc.if_else(pc.is_finite(numbers), numbers, None)


def _faults(table: pa.Table, dataset: Dataset, items: str) -> Iterator[Fault]:
    user, item, moment = table["user_id"], table["item_id"], table["timestamp"]
    for name in ("request_id", "item_id", "timestamp", *_OF_ITEM[1:]):
        yield checks.missing(name, table[name])
    without = pc.fill_null(pc.equal(user, ""), True)
    yield Fault("user_id", "of a request without a user", without, user)
    unknown = pc.invert(pc.or_(without, pc.is_in(user, dataset.users["user_id"])))
    yield Fault("user_id", "of a user without an event and without a row of users", unknown, user)
    if "form" in table.column_names:
        other = pc.fill_null(pc.not_equal(table["form"], _PLAIN), False)
        what = "of a session, of items related to an item, of a caller's own list or of a list as it is"
        yield Fault("form", what, other, table["form"])
    gone = pc.invert(pc.is_in(item, dataset.items["item_id"]))
    yield Fault("item_id", f"not in {items}, or no longer", pc.and_(gone, pc.is_valid(item)), item)
    spans = moments.implausible_events(time.time_ns() // 1_000_000, DAY_MS)
    yield from checks.implausible("timestamp", moment, moment, spans)
    position, propensity = table["position"], table["propensity"]
    from_zero = pc.and_(pc.greater_equal(position, 0), pc.less(position, _POSITIONS))
    counted = pc.and_(from_zero, pc.equal(pc.floor(position), position))
    yield Fault("position", "must be a whole number from 0", pc.invert(counted), position)
    probability = pc.and_(pc.greater(propensity, 0), pc.less_equal(propensity, 1))
    yield Fault("propensity", "must be above 0 and at most 1", pc.invert(probability), propensity)


def _again(table: pa.Table) -> pa.Array:
    """Whether a row repeats an earlier one; bool [rows]."""
    rows = table.select(_KEY).append_column("row", pa.array(np.arange(table.num_rows)))
    first = rows.group_by(_KEY).aggregate([("row", "min")])["row_min"].to_numpy()
    again = np.ones(table.num_rows, np.bool_)
    again[first] = False
    return pa.array(again)
