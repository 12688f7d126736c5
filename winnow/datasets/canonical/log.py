"""The log of a source: its valid rows, and the problems of the others.

A few bad rows do not stop an ingestion: they are left out and counted. The log is refused where their share exceeds
``max_bad_share``, or where a problem concerns all of it, such as a missing column.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc

from winnow import moments
from winnow.datasets.canonical import checks, convert
from winnow.datasets.canonical.checks import Fault
from winnow.datasets.canonical.columns import EVENT_COLUMNS, IN_WORDS, NO_NUMBER, REQUIRED_OF_EVENTS
from winnow.datasets.canonical.convert import ConvertedFile, TableContract
from winnow.datasets.canonical.raw import RawDataset
from winnow.datasets.canonical.report import Problem
from winnow.datasets.canonical.spec import DatasetSpec, DeclaredColumns

_AHEAD_MS = 86_400_000
_EXAMPLES = 3


@dataclass(frozen=True)
class CatalogIds:
    """The ids of the catalog's items, and the name of their table.

    Attributes:
        ids: the ids.
        file: name of the table.
        deleted: ids of items that were deleted: their events are left out, and are not bad rows.
    """

    ids: pa.ChunkedArray
    file: str
    deleted: pa.Array | None = None


@dataclass(frozen=True)
class Log:
    """The log in canonical columns.

    Attributes:
        table: the valid rows.
        rows: number of all rows.
        bad: number of rows that are left out.
        reasons: problems of these rows, with counts and examples.
        problems: problems of the log as a whole.
        notes: decisions that the user should know.
    """

    table: pa.Table
    rows: int
    bad: int
    reasons: list[Problem]
    problems: list[Problem]
    notes: list[str]


def read_log(source: RawDataset, known: CatalogIds | None) -> Log:
    """Read and check the log.

    Args:
        source: the data set.
        known: the items; ``None`` where their ids cannot be read.
    """
    found = source.events
    contract = TableContract.of(EVENT_COLUMNS, REQUIRED_OF_EVENTS, DeclaredColumns(), lenient=["timestamp", "amount"])
    reads = [_without(convert.convert_file(part, contract), known) for part in found.parts]
    reasons: dict[tuple[str | None, str], Problem] = {}
    good, bad, inside = [], 0, 0
    for part, read in zip(found.parts, reads, strict=True):
        faults = list(_faults(read, source.spec, known))
        reported = [fault.problem(part.file) for fault in faults]
        if part.broken:
            what = "rows with more or fewer values than the header, or a quote that is never closed; correct them"
            reported.append(Problem(part.file, None, what, part.broken, part.examples))
        for problem in reported:
            if problem:
                key = problem.column, problem.what
                reasons[key] = _added(reasons[key], problem, found.file) if key in reasons else problem
        wrong = _any([fault.wrong for fault in faults])
        bad += part.broken
        if wrong is None:
            good.append(read.table)
            continue
        good.append(read.table.filter(pc.invert(wrong)))
        bad += pc.sum(wrong).as_py() or 0
        inside += _lines_inside_values(read, wrong)
    table, problems = convert.together(found, good, contract)
    rows = sum(part.table.num_rows + part.broken for part in found.parts) + inside
    if rows == 0:
        problems.append(convert.empty(found))
    problems = [problem for read in reads for problem in read.problems] + problems
    notes = [*convert.notes(found, reads), *_about_amounts(found.file, table, source.spec)]
    return Log(table, rows, bad + inside, list(reasons.values()), problems, notes)


def _without(read: ConvertedFile, known: CatalogIds | None) -> ConvertedFile:
    """A file of the log without the events of deleted items."""
    if known is None or known.deleted is None or not len(known.deleted) or "item_id" not in read.table.column_names:
        return read
    gone = pc.fill_null(pc.is_in(read.table["item_id"].cast(pa.string()), known.deleted), False)
    stays = pc.invert(gone)
    given = {name: column.filter(stays) for name, column in read.given.items()}
    return replace(read, table=read.table.filter(stays), given=given)


def _faults(read: ConvertedFile, spec: DatasetSpec, known: CatalogIds | None) -> Iterator[Fault]:
    table = read.table
    for name in (name for name in REQUIRED_OF_EVENTS if name in table.column_names):
        yield checks.missing(name, read.given[name])
    for name in (name for name in ("user_id", "item_id") if name in table.column_names):
        values = table[name].cast(pa.string())
        yield from checks.no_ids(name, values)
        if name == "item_id" and known:
            unknown = pc.invert(pc.is_in(values, known.ids))
            unknown = pc.and_(pc.and_(unknown, pc.is_valid(values)), pc.not_equal(values, ""))
            yield Fault(name, f"not in {known.file}; add its row there or remove these events", unknown, values)
    if "event" in table.column_names:
        values = table["event"].cast(pa.string())
        undeclared = pc.and_(pc.is_valid(values), pc.invert(pc.is_in(values, pa.array([*spec.events]))))
        declared = ", ".join(spec.events)
        what = f"not declared under events in dataset.yaml, which has {declared}; add it with its value"
        yield Fault("event", what, undeclared, values)
    if "timestamp" in table.column_names:
        moment, given = table["timestamp"].cast(pa.int64()), read.given["timestamp"]
        yield checks.lost("timestamp", moment, given, IN_WORDS["moment"], r"^$")
        spans = moments.implausible_events(time.time_ns() // 1_000_000, _AHEAD_MS)
        yield from checks.implausible("timestamp", moment, given, spans)
    if "amount" in table.column_names and "amount" in read.given:
        amount, given = table["amount"].cast(pa.float64()), read.given["amount"]
        yield checks.lost("amount", amount, given, IN_WORDS["number"], NO_NUMBER)
        yield Fault("amount", checks.NEGATIVE_AMOUNT, pc.less(amount, 0), given)


def _about_amounts(file: str, table: pa.Table, spec: DatasetSpec) -> Iterator[str]:
    """What is given in one of the log and ``dataset.yaml``, and has no effect without the other."""
    graded = ", ".join(name for name, kind in spec.events.items() if kind.full_amount)
    given = "amount" in table.column_names and table["amount"].null_count < table.num_rows
    if given and not graded:
        yield f"{file}: amount grades no event, as no type in dataset.yaml has a full_amount"
    if graded and not given:
        yield f"{file}: there are no amounts, so every event of {graded} has its whole value"


def _lines_inside_values(read: ConvertedFile, wrong: pa.ChunkedArray) -> int:
    """Lines inside the values of bad rows: an unclosed quote makes all lines after it one value."""
    texts = [given.filter(wrong) for given in read.given.values() if pa.types.is_string(given.type)]
    return sum(pc.sum(pc.count_substring(text, "\n")).as_py() or 0 for text in texts)


def _any(masks: list[pa.ChunkedArray]) -> pa.ChunkedArray | None:
    return reduce(pc.or_, [pc.fill_null(mask, False) for mask in masks]) if masks else None


def _added(one: Problem, other: Problem, file: str) -> Problem:
    """One problem from the same problem of two files."""
    examples = tuple(dict.fromkeys(one.examples + other.examples))[:_EXAMPLES]
    return Problem(file, one.column, one.what, one.count + other.count, examples)
