"""Every check of the data contract, made before any work starts and reported together."""

import time
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from winnow.datasets import columns
from winnow.datasets.columns import EVENT_COLUMNS, ITEM_COLUMNS, USER_COLUMNS, Kind
from winnow.datasets.dataset import Dataset
from winnow.datasets.report import Problem, data_error
from winnow.datasets.source import Source, SourceTable
from winnow.datasets.spec import DatasetSpec, DeclaredColumns

_DAY = 86_400_000
# Milliseconds are read wrongly from seconds below the one (1973) and from microseconds above the other (5138).
_SECONDS_BELOW = 10**11
_MICROSECONDS_ABOVE = 10**14


def validate(source: Source) -> Dataset:
    """Check a source and bring it into canonical columns.

    Users are derived from the log where the source has no users table.

    Raises:
        DataError: the source breaks the contract; the message reports every problem there is.
    """
    spec = source.spec
    problems: list[Problem] = []
    items = _canonical(source.items, ITEM_COLUMNS, ("item_id",), spec.items, problems)
    events = _canonical(source.events, EVENT_COLUMNS, tuple(EVENT_COLUMNS), DeclaredColumns(), problems)
    users = source.users and _canonical(source.users, USER_COLUMNS, ("user_id",), spec.users, problems)

    problems += _about_ids(source.items.file, items, "item_id")
    problems += _about_items(source.items.file, items)
    if source.users:
        problems += _about_ids(source.users.file, users, "user_id")
    problems += _about_events(source, spec, items, users, events)
    if problems:
        raise data_error(source.name, problems)
    return Dataset(spec, items, _known_from(events, spec) if users is None else users, events)


def _canonical(
    found: SourceTable,
    canonical: dict[str, Kind],
    required: tuple[str, ...],
    declared: DeclaredColumns,
    problems: list[Problem],
) -> pa.Table:
    """The canonical and declared columns that could be read; what could not is added to the problems."""
    table = found.table
    kinds = canonical | _declared_kinds(declared)
    if table.num_rows == 0:
        problems.append(Problem(found.file, None, "the table is empty; it needs at least one row"))
    read = {}
    for name, kind in kinds.items():
        if name in table.column_names:
            try:
                read[name] = columns.convert(table[name], kind)
            except ValueError:
                count, examples = columns.unreadable(table[name], kind)
                what = f"expected {columns.IN_WORDS[kind]}; the column's type is {table[name].type}"
                problems.append(Problem(found.file, name, what, count, tuple(examples)))
        elif name in required or name in declared.names:
            why = "required" if name in required else "declared in dataset.yaml"
            what = f"the column is missing and is {why}; the columns are {', '.join(table.column_names) or 'none'}"
            problems.append(Problem(found.file, name, what))
        else:
            read[name] = columns.absent(table.num_rows, kind)
    if "available" in read:
        read["available"] = pc.fill_null(read["available"], True)
    return pa.table(read)


def _declared_kinds(declared: DeclaredColumns) -> dict[str, Kind]:
    choices: dict[str, Kind] = dict.fromkeys(declared.categorical, "choice")
    return choices | dict.fromkeys(declared.numeric, "number")


def _about(file: str, table: pa.Table, column: str, wrong: pa.ChunkedArray, what: str) -> Iterator[Problem]:
    """One problem if ``wrong``, a mask over the rows, holds anywhere; a null in the mask is not wrong."""
    bad = table[column].filter(wrong)
    if len(bad):
        examples = [value for value in bad.unique()[:3].to_pylist() if value not in (None, "")]
        yield Problem(file, column, what, len(bad), tuple(examples))


def _about_ids(file: str, table: pa.Table, column: str) -> Iterator[Problem]:
    if column not in table.column_names:
        return
    ids = table[column]
    yield from _about_nulls(file, table, column)
    counted = ids.drop_null().value_counts()
    twice = counted.field("values").filter(pc.greater(counted.field("counts"), 1))
    repeated = pc.and_(pc.is_in(ids, twice), pc.not_equal(ids, ""))
    yield from _about(file, table, column, repeated, "the same id in several rows; keep one row for each")


def _about_nulls(file: str, table: pa.Table, column: str) -> Iterator[Problem]:
    values = table[column]
    null = pc.is_null(values)
    if pa.types.is_string(values.type):
        null = pc.or_kleene(null, pc.equal(values, ""))
    yield from _about(file, table, column, null, "no value; fill it in or remove the row")


def _about_items(file: str, items: pa.Table) -> Iterator[Problem]:
    if "price" in items.column_names:
        negative = pc.less(items["price"], 0)
        yield from _about(file, items, "price", negative, "a negative price; leave unknown prices empty")
    if "created_at" in items.column_names:
        # A catalog may hold things older than 1973, but hardly from the months that seconds would show.
        seconds = pc.and_(pc.greater(items["created_at"], 10**8), pc.less(items["created_at"], 10**10))
        yield from _about_unit(file, items, "created_at", seconds)


def _about_unit(file: str, table: pa.Table, column: str, seconds: pa.ChunkedArray) -> Iterator[Problem]:
    yield from _about(file, table, column, seconds, "not in milliseconds: these look like seconds; multiply by 1000")
    finer = pc.greater(table[column], _MICROSECONDS_ABOVE)
    yield from _about(
        file, table, column, finer, "not in milliseconds: these look like micro- or nanoseconds; divide them"
    )


def _about_events(
    source: Source, spec: DatasetSpec, items: pa.Table, users: pa.Table | None, events: pa.Table
) -> Iterator[Problem]:
    file = source.events.file
    for column in events.column_names:
        yield from _about_nulls(file, events, column)
    if "event" in events.column_names:
        declared = pa.array([*spec.events, ""])
        undeclared = pc.and_(pc.is_valid(events["event"]), pc.invert(pc.is_in(events["event"], declared)))
        what = f"not declared under events in dataset.yaml, which has {', '.join(spec.events)}; add it with a weight"
        yield from _about(file, events, "event", undeclared, what)
    if "timestamp" in events.column_names:
        moment = events["timestamp"]
        yield from _about_unit(file, events, "timestamp", pc.less(moment, _SECONDS_BELOW))
        future = pc.and_(pc.greater(moment, int(time.time() * 1000) + _DAY), pc.less_equal(moment, _MICROSECONDS_ABOVE))
        yield from _about(file, events, "timestamp", future, "in the future; correct the clock or the time zone")
    for column, known, table in (("item_id", items, source.items), ("user_id", users, source.users)):
        if table and known is not None and column in events.column_names and column in known.column_names:
            ids = events[column]
            stranger = pc.and_(pc.is_valid(ids), pc.invert(pc.is_in(ids, pc.unique(known[column]))))
            stranger = pc.and_(stranger, pc.not_equal(ids, ""))
            what = f"not in {table.file}; add its row there or remove these events"
            yield from _about(file, events, column, stranger, what)


def _known_from(events: pa.Table, spec: DatasetSpec) -> pa.Table:
    ids = pc.unique(events["user_id"])
    kinds = _declared_kinds(spec.users)
    return pa.table({"user_id": ids} | {name: columns.absent(len(ids), kind) for name, kind in kinds.items()})
