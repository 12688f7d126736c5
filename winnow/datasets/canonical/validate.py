"""Validation: all checks of the data contract, made before other work and reported together."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from winnow.datasets.canonical import checks, columns, convert
from winnow.datasets.canonical.account import Account
from winnow.datasets.canonical.checks import Fault
from winnow.datasets.canonical.columns import ITEM_COLUMNS, USER_COLUMNS
from winnow.datasets.canonical.convert import TableContract
from winnow.datasets.canonical.dataset import Dataset
from winnow.datasets.canonical.log import CatalogIds, Log, read_log
from winnow.datasets.canonical.raw import RawDataset
from winnow.datasets.canonical.report import Problem, data_error
from winnow.datasets.canonical.spec import DatasetSpec
from winnow.moments import IMPLAUSIBLE_CREATION

_ABSOLUTE = r"^(/|[a-z][a-z0-9+.-]*://)"


@dataclass(frozen=True)
class EditedItems:
    """The items of a source after changes that were made to them elsewhere.

    Attributes:
        table: the items.
        deleted: ids that are no items any more: their events are left out and are not bad rows.
        notes: what the user should know.
        position: the last change; "" for none.
    """

    table: pa.Table
    deleted: pa.Array | None = None
    notes: tuple[str, ...] = ()
    position: str = ""


def validate(source: RawDataset, edit: Callable[[pa.Table], EditedItems] = EditedItems) -> Dataset:
    """Validate a source and convert it to canonical columns.

    Without a users table, users are derived from the log. Invalid rows of the log are left out, up to its
    ``max_bad_share``; the account of the data set reports them.

    Args:
        source: the data set.
        edit: changes the items, once they are valid.

    Raises:
        DataError: the source violates the contract; the message reports all problems.
    """
    items, problems, notes = _items(source)
    changed = EditedItems(items) if problems else edit(items)
    items = changed.table
    notes += changed.notes
    users = None
    if source.users:
        contract = TableContract.of(USER_COLUMNS, USER_COLUMNS, source.spec.users)
        users, more, user_notes = convert.read_table(source.users, contract)
        problems += more + list(_found(source.users.file, _about_ids(users, "user_id")))
        notes += user_notes
    known = (
        CatalogIds(items["item_id"], source.items.file, changed.deleted) if "item_id" in items.column_names else None
    )
    log = read_log(source, known)
    problems += log.problems
    allowed = int(source.spec.max_bad_share * log.rows)
    too_many = log.bad > allowed
    if problems or too_many:
        remark = _remark(log, source.spec, allowed) if too_many else None
        raise data_error(source.name, problems + (log.reasons if too_many else []), remark)
    if source.users and users is not None:
        users = _with_users_of_log(source, users, log.table, notes)
    account = Account((*source.notes, *notes, *log.notes), log.rows, log.bad, tuple(log.reasons))
    account = replace(account, catalog_position=changed.position)
    return Dataset(
        source.spec,
        items,
        _users_of_log(log.table, source.spec) if users is None else users,
        log.table,
        account=account,
    )


def items_of(source: RawDataset) -> pa.Table:
    """The items of a source in canonical columns.

    Raises:
        DataError: the items violate the contract.
    """
    items, problems, _ = _items(source)
    if problems:
        raise data_error(source.name, problems)
    return items


def _items(source: RawDataset) -> tuple[pa.Table, list[Problem], list[str]]:
    items, problems, notes = convert.read_table(
        source.items, TableContract.of(ITEM_COLUMNS, ("item_id",), source.spec.items)
    )
    problems += _found(source.items.file, [*_about_ids(items, "item_id"), *_about_items(items)])
    for name in (name for name in ("image", "audio", "available") if name in items.column_names):
        values = items[name]
        filled = pc.fill_null(values, True) if name == "available" else _absolute(values, source.root)
        items = items.set_column(items.column_names.index(name), name, filled)
    return items, problems, notes


def _absolute(path: pa.ChunkedArray, root: str) -> pa.ChunkedArray:
    absolute = pc.match_substring_regex(path, _ABSOLUTE)
    joined = pc.binary_join_element_wise(root.rstrip("/"), path, "/")
    return pc.if_else(absolute, path, joined)


def _found(file: str, faults: Iterable[Fault]) -> Iterator[Problem]:
    return (problem for fault in faults if (problem := fault.problem(file)))


def _about_ids(table: pa.Table, column: str) -> Iterator[Fault]:
    if column not in table.column_names:
        return
    ids = table[column]
    yield checks.missing(column, ids)
    counted = ids.drop_null().value_counts()
    twice = counted.field("values").filter(pc.greater(counted.field("counts"), 1))
    repeated = pc.and_(pc.is_in(ids, twice), pc.not_equal(ids, ""))
    yield Fault(column, "the same id in several rows; keep one row for each", repeated, ids)
    yield from checks.no_ids(column, ids)


def _about_items(items: pa.Table) -> Iterator[Fault]:
    if "price" in items.column_names:
        price = items["price"]
        yield Fault("price", "a negative price; leave unknown prices empty", pc.less(price, 0), price)
    if "created_at" in items.column_names:
        created = items["created_at"]
        yield from checks.implausible("created_at", created, created, IMPLAUSIBLE_CREATION)


def _remark(log: Log, spec: DatasetSpec, allowed: int) -> str:
    return (
        f"Bad rows of the log: {log.bad:,} of {log.rows:,}; up to {allowed:,} would be left out (max_bad_share in "
        f"dataset.yaml: {spec.max_bad_share:g})."
    )


def _with_users_of_log(source: RawDataset, users: pa.Table, events: pa.Table, notes: list[str]) -> pa.Table:
    """The users table, extended by users that only the log has: the endpoint takes their events, too.

    Raises:
        DataError: the table has no user of the log, so the two write ids differently.
    """
    assert source.users is not None
    seen = pc.unique(events["user_id"])
    missing = seen.filter(pc.invert(pc.is_in(seen, users["user_id"])))
    if not len(missing):
        return users
    examples = ", ".join(map(repr, missing[:3].to_pylist()))
    if len(missing) == len(seen):
        what = f"has no user of the log, such as {examples}; write ids in the same way in both"
        raise data_error(source.name, [Problem(source.users.file, "user_id", what)])
    notes.append(
        f"{source.users.file}: {len(missing):,} of the log's {len(seen):,} users are not in it and get no features, "
        f"for example {examples}"
    )
    nulls = {name: pa.nulls(len(missing), users[name].type) for name in users.column_names}
    return pa.concat_tables([users, pa.table(nulls | {"user_id": missing})])


def _users_of_log(events: pa.Table, spec: DatasetSpec) -> pa.Table:
    ids = pc.unique(events["user_id"])
    kinds = TableContract.of(USER_COLUMNS, (), spec.users).kinds
    return pa.table(
        {"user_id": ids} | {name: columns.absent(len(ids), kind) for name, kind in kinds.items() if name != "user_id"}
    )
