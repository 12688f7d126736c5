"""The validation report names file, column, count and examples of every problem, all at once."""

import time
from dataclasses import replace
from decimal import Decimal

import pyarrow as pa
import pytest

from winnow.datasets.canonical.raw import RawDataset, RawTable
from winnow.datasets.canonical.spec import DatasetSpec, DeclaredColumns, EventType
from winnow.datasets.canonical.validate import validate
from winnow.errors import DataError

NOW = int(time.time() * 1000)
SPEC = DatasetSpec(name="x", events={"view": 1, "buy": 5}, items=DeclaredColumns(numeric=("weight",)))


def source(**replaced: pa.Table | None) -> RawDataset:
    tables: dict[str, pa.Table | None] = {
        "items": pa.table({"item_id": ["a", "b"], "price": [1.0, 2.0], "weight": [1.0, 2.0]}),
        "users": pa.table({"user_id": ["u", "v"]}),
        "events": events(),
    }
    tables |= replaced
    found = {name: RawTable.of(f"{name}.csv", table) for name, table in tables.items() if table is not None}
    return RawDataset("the shop", "/shop", SPEC, found["items"], found.get("users"), found["events"])


def events(**replaced: list[object]) -> pa.Table:
    columns: dict[str, list[object]] = {
        "user_id": ["u", "u", "v"],
        "item_id": ["a", "b", "a"],
        "event": ["view", "buy", "view"],
        "timestamp": [NOW - 3000, NOW - 2000, NOW - 1000],
    }
    return pa.table(columns | replaced)


def items(**replaced: list[object]) -> pa.Table:
    columns: dict[str, list[object]] = {"item_id": ["a", "b"], "weight": [1.0, 2.0]}
    return pa.table(columns | replaced)


def test_a_valid_source_passes() -> None:
    assert validate(source()).events.num_rows == 3


@pytest.mark.parametrize(
    ("broken", "line"),
    [
        ({"items": pa.table({"weight": [1.0]})}, "items.csv, column item_id: the column is missing and is required"),
        (
            {"items": pa.table({"item_id": ["a", "b"]})},
            "items.csv, column weight: the column is missing and is declared in dataset.yaml; the columns are item_id",
        ),
        (
            {"items": items(weight=["1", "heavy"])},
            "items.csv, column weight: expected a finite number; the column's type is string (1 row), "
            "for example 'heavy'",
        ),
        (
            {"items": items(weight=[1.0, float("inf")])},
            "items.csv, column weight: expected a finite number; the column's type is double (1 row), for example inf",
        ),
        (
            {"items": items(item_id=[1.0, 2.5])},
            "items.csv, column item_id: expected an id: a string or an integer; the column's type is double (2 rows), "
            "for example 1.0, 2.5",
        ),
        (
            {"items": items(item_id=["a", "b", "a", "a"], weight=[1, 2, 3, 4])},
            "items.csv, column item_id: the same id in several rows; keep one row for each (3 rows), for example 'a'",
        ),
        (
            {"items": items(item_id=["a", "b", None, ""], weight=[1, 2, 3, 4])},
            "items.csv, column item_id: no value; fill it in or remove the row (2 rows)",
        ),
        (
            {"items": items(price=[-1.0, 2.0])},
            "items.csv, column price: a negative price; leave unknown prices empty (1 row), for example -1.0",
        ),
        (
            {"items": items(created_at=[1_700_000_000, None])},
            "items.csv, column created_at: must be milliseconds since the epoch, but looks like seconds: "
            "multiply by 1000 (1 row), "
            "for example 1700000000",
        ),
        (
            {"items": items(available=["yes?", "true"])},
            "items.csv, column available: expected true or false; the column's type is string (1 row), "
            "for example 'yes?'",
        ),
        (
            {"items": items(title=[["a"], ["b"]])},
            "items.csv, column title: expected text; the column's type is list<item: string> (2 rows)",
        ),
        ({"items": items().slice(0, 0)}, "items.csv: the table is empty; it needs at least one row"),
        (
            {"users": pa.table({"user_id": ["u", "v", "v"]})},
            "users.csv, column user_id: the same id in several rows; keep one row for each (2 rows), for example 'v'",
        ),
        (
            {"users": pa.table({"user_id": ["7", "8"]})},
            "users.csv, column user_id: has no user of the log, such as 'u', 'v'; write ids in the same way in both",
        ),
        (
            {"events": events(item_id=["x", "y", "x"])},
            "events.csv, column item_id: not in items.csv; add its row there or remove these events (3 rows), "
            "for example 'x', 'y'",
        ),
        (
            {"events": events(event=["view", "like", None])},
            "events.csv, column event: not declared under events in dataset.yaml, which has view, buy; "
            "add it with its value (1 row), for example 'like'",
        ),
        (
            {"events": events(user_id=["u", None, "v"])},
            "events.csv, column user_id: no value; fill it in or remove the row (1 row)",
        ),
        (
            {"events": events(timestamp=[NOW, NOW // 1000, NOW])},
            "events.csv, column timestamp: must be milliseconds since the epoch, but looks like seconds: "
            "multiply by 1000 (1 row), "
            f"for example {NOW // 1000}",
        ),
        (
            {"events": events(timestamp=[NOW, NOW * 1000, NOW])},
            "events.csv, column timestamp: must be milliseconds since the epoch, but looks like micro- or nanoseconds: "
            f"divide by 1000 or 1,000,000 (1 row), for example {NOW * 1000}",
        ),
        (
            {"events": events(timestamp=[NOW, NOW + 10 * 86_400_000, NOW])},
            "events.csv, column timestamp: must be in the past: correct the clock or the time zone (1 row)",
        ),
        (
            {"events": events(timestamp=["soon", "later", "never"])},
            "events.csv, column timestamp: expected a moment: milliseconds since the epoch, or a date and time as "
            "2026-01-31T12:00:00Z; the column's type is string (3 rows), for example 'soon', 'later', 'never'",
        ),
        (
            {"events": events(timestamp=[str(NOW), "2024-05-32", str(NOW)])},
            "events.csv, column timestamp: expected a moment",
        ),
        (
            {"events": events(amount=["12", "-0.5", "long"])},
            "events.csv, column amount: expected a finite number; the column's type is string (1 row), "
            "for example 'long'",
        ),
        (
            {"events": events(amount=["12", "-0.5", "long"])},
            "events.csv, column amount: a negative amount; leave unknown amounts empty (1 row), for example '-0.5'",
        ),
        (
            {"events": events(amount=[1.0, float("inf"), float("nan")])},
            "events.csv, column amount: expected a finite number; the column's type is double (1 row), for example inf",
        ),
        (
            {"events": events(amount=[["12"], ["0.5"], []])},
            "events.csv, column amount: expected a finite number; the column's type is list<item: string> (3 rows)",
        ),
    ],
)
def test_each_problem_is_named(broken: dict[str, pa.Table], line: str) -> None:
    with pytest.raises(DataError) as raised:
        validate(source(**broken))
    assert f". {line}" in str(raised.value)
    assert str(raised.value).startswith("The data set the shop cannot be used: ")
    assert raised.value.exit_code == 2


@pytest.mark.parametrize(
    ("given", "amounts"),
    [
        ([1.5, None, float("nan")], [1.5, None, None]),
        ([" 1.5", "", "nan"], [1.5, None, None]),
        ([".5", "5.", "1e3"], [0.5, 5.0, 1000.0]),
        ([7, 0, 2**60], [7.0, 0.0, 2.0**60]),
        ([Decimal("0.25"), None, Decimal("1.00")], [0.25, None, 1.0]),
        ([None, None, None], [None, None, None]),
    ],
)
def test_amounts_are_numbers_or_absent(given: list[object], amounts: list[float | None]) -> None:
    read = validate(source(events=events(amount=given))).events["amount"]
    assert read.type == pa.float64()
    assert read.to_pylist() == amounts


def test_a_log_without_amounts_has_the_column() -> None:
    read = validate(source()).events
    assert read.schema.field("amount").type == pa.float64()
    assert read["amount"].null_count == 3


def test_amounts_and_full_amounts_need_each_other() -> None:
    without, given = source(), source(events=events(amount=[1.0, None, 2.0]))
    graded = SPEC.model_copy(update={"events": SPEC.events | {"view": EventType(value=1, full_amount=9)}})
    assert validate(replace(given, spec=graded)).account.lines() == validate(without).account.lines() == []
    [note] = validate(given).account.lines()
    assert note == "events.csv: amount grades no event, as no type in dataset.yaml has a full_amount"
    [note] = validate(replace(without, spec=graded)).account.lines()
    assert note == "events.csv: there are no amounts, so every event of view has its whole value"


def test_all_problems_are_reported_together() -> None:
    with pytest.raises(DataError, match="4 problems") as raised:
        validate(
            source(
                items=items(item_id=["a", "a"], price=[-1.0, -2.0]),
                events=events(item_id=["a", "z", "a"], event=["view", "buy", "like"]),
            )
        )
    for part in ("the same id", "a negative price", "'z'", "'like'"):
        assert part in str(raised.value)


def test_examples_are_at_most_three() -> None:
    many = pa.table({"user_id": ["u"] * 9, "item_id": list("pqrstuvwx"), "event": ["view"] * 9, "timestamp": [NOW] * 9})
    with pytest.raises(DataError, match=r"\(9 rows\), for example 'p', 'q', 'r'\nBad rows of the log: 9 of 9"):
        validate(source(events=many))


def test_users_are_derived_from_the_log_where_there_is_no_table() -> None:
    assert validate(source(users=None)).users["user_id"].to_pylist() == ["u", "v"]


def test_users_of_the_log_only_get_no_features() -> None:
    spec = DatasetSpec(
        name="x", events={"view": 1, "buy": 5}, users=DeclaredColumns(categorical=("country",), numeric=("age",))
    )
    users = pa.table({"user_id": ["w", "u"], "country": [["DE", "AT"], ["FR"]], "age": [30, 40]})
    parts = source(users=users)
    data = validate(RawDataset("shop", "/shop", spec, items_only(), parts.users, parts.events))
    assert data.users.to_pydict() == {
        "user_id": ["w", "u", "v"],
        "country": [["DE", "AT"], ["FR"], None],
        "age": [30.0, 40.0, None],
    }
    assert data.events.num_rows == 3
    assert data.account.lines() == [
        "users.csv: 1 of the log's 2 users are not in it and get no features, for example 'v'"
    ]


def items_only() -> RawTable:
    return RawTable.of("items.csv", pa.table({"item_id": ["a", "b"]}))
