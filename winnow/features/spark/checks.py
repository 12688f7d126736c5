"""Checks of what would lose or duplicate rows, counted by Spark before other work.

Ingestion checks the rest of the data contract (:mod:`winnow.datasets.canonical.validate`).
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F  # noqa: N812

from winnow.datasets.canonical import checks
from winnow.datasets.canonical.columns import IN_WORDS, REQUIRED_OF_EVENTS
from winnow.datasets.canonical.report import Problem, data_error
from winnow.features.spark.tables import SparkDataset, SparkTable


@dataclass(frozen=True)
class Counted:
    """The size of a log.

    Attributes:
        events: number of events.
        newest: time of the last event, ms since the epoch.
    """

    events: int
    newest: int


class _Case(NamedTuple):
    """A check of the values of a column."""

    column: str
    wrong: Column
    what: str


def check(source: SparkDataset) -> Counted:
    """Count the events and the problems of a log.

    Raises:
        DataError: an id is missing or duplicate, an event has an unknown user, item or type, a timestamp or an amount
            cannot be read, or an amount is negative; the message reports all problems.
    """
    tables = [(source.items, "item_id")] + ([(source.users, "user_id")] if source.users else [])
    problems = [problem for table, key in tables for problem in _about_ids(table, key)]
    rows, declared = source.events.rows, list(source.spec.events)
    cases = [
        _Case(column, _empty(column), f"no value, or not {IN_WORDS[kind]}; fill it in or remove the row")
        for column, kind in REQUIRED_OF_EVENTS.items()
    ]
    what = f"not declared under events in dataset.yaml, which has {', '.join(declared)}; add it with its value"
    cases.append(_Case("event", ~_empty("event") & ~F.col("event").isin(declared), what))
    amount = F.col("amount")
    unreadable = F.isnan(amount) | (amount == float("inf"))
    cases.append(_Case("amount", unreadable, f"expected {IN_WORDS['number']}"))
    cases.append(_Case("amount", amount < 0, checks.NEGATIVE_AMOUNT))
    for table, key in tables:
        known = table.rows.select(key).distinct().withColumn(f"known_{key}", F.lit(True))
        rows = rows.join(known, key, "left")
        what = f"not in {table.file}; add its row there or remove these events"
        cases.append(_Case(key, ~_empty(key) & F.col(f"known_{key}").isNull(), what))
    (events, newest), found = _counted(source.events, rows, cases, F.count("*"), F.max("timestamp"))
    problems += found
    if not events:
        problems.append(Problem(source.events.file, None, "the table is empty; it needs at least one row"))
    if problems:
        raise data_error(source.name, problems)
    return Counted(events, newest)


def _about_ids(table: SparkTable, key: str) -> list[Problem]:
    several = table.rows.select(key, F.count("*").over(Window.partitionBy(key)).alias("rows"))
    cases = [
        _Case(key, _empty(key), "no value; fill it in or remove the row"),
        _Case(key, ~_empty(key) & (F.col("rows") > 1), "the same id in several rows; keep one row for each"),
    ]
    return _counted(table, several, cases)[1]


def _empty(column: str) -> Column:
    return F.col(column).isNull() | (F.col(column).cast("string") == "")


def _counted(table: SparkTable, rows: DataFrame, cases: list[_Case], *more: Column) -> tuple[list[Any], list[Problem]]:
    """Further aggregates, and the problems of all checks with a count and an example, in one pass."""
    counts = [
        column
        for case in cases
        for column in (F.count_if(case.wrong), F.max(F.when(case.wrong, F.col(case.column).cast("string"))))
    ]
    answer = list(rows.agg(*more, *counts).collect()[0])
    pairs = zip(answer[len(more) :: 2], answer[len(more) + 1 :: 2], strict=True)
    problems = [
        Problem(table.file, case.column, case.what, count, (example,) if example else ())
        for case, (count, example) in zip(cases, pairs, strict=True)
        if count
    ]
    return answer[: len(more)], problems
