"""Which events `--holdout last` keeps out of a build, on logs written by hand."""

import pyarrow as pa
import pytest

from winnow.datasets.canonical.dataset import Dataset, hold_out_last
from winnow.datasets.canonical.spec import DatasetSpec

NOON = 1_700_000_000_000
Row = tuple[str, str, str, int]
"""User, item, event type, milliseconds after noon."""


def split(rows: list[Row], repeats: str = "hide", amount: bool = False) -> tuple[list[Row], list[Row]]:
    """The kept and the held-out rows."""
    users, items, events, after = zip(*rows, strict=True) if rows else ((), (), (), ())
    columns = {
        name: pa.array(values, pa.string())
        for name, values in zip(("user_id", "item_id", "event"), (users, items, events), strict=True)
    }
    table = pa.table(columns | {"timestamp": pa.array([NOON + ms for ms in after], pa.int64())})
    if amount:
        table = table.append_column("amount", pa.array([float(ms) for ms in after]))
    spec = DatasetSpec.model_validate(
        {"name": "x", "events": {"view": 1, "buy": 10, "dislike": -5, "open": 0}, "repeats": repeats}
    )
    kept, held = hold_out_last(Dataset(spec, pa.table({"item_id": ["a"]}), pa.table({"user_id": ["u"]}), table))
    assert held.column_names == kept.events.column_names == table.column_names
    return _rows(kept.events), _rows(held)


def _rows(table: pa.Table) -> list[Row]:
    return [(row["user_id"], row["item_id"], row["event"], row["timestamp"] - NOON) for row in table.to_pylist()]


@pytest.mark.parametrize("repeats", ["hide", "demote", "allow"])
def test_without_repeated_items_the_last_event_by_time_then_position_is_held_out(repeats: str) -> None:
    rows = [
        ("u", "a", "view", 5),
        ("v", "a", "view", 0),
        ("u", "b", "view", 9),
        ("u", "c", "view", 9),  # the time of b, further down the log: the last event
        ("v", "b", "view", 1),  # v has two events and keeps both
        ("u", "d", "view", 1),
        ("w", "a", "view", 3),  # the last event of w, although first in the log
        ("w", "b", "view", 2),
        ("w", "c", "view", 1),
        ("x", "a", "view", 4),  # one event
    ]
    kept, held = split(rows, repeats)
    assert held == [("u", "c", "view", 9), ("w", "a", "view", 3)]
    assert kept == [row for row in rows if row not in held]


@pytest.mark.parametrize("repeats", ["hide", "demote"])
def test_the_item_that_was_met_last_is_held_out_with_every_later_event(repeats: str) -> None:
    rows = [
        ("u", "a", "view", 1),
        ("u", "b", "view", 2),
        ("u", "a", "buy", 3),
        ("u", "c", "view", 4),  # the last first meeting
        ("u", "b", "buy", 5),
        ("u", "c", "buy", 6),
    ]
    assert split(rows, repeats) == (rows[:3], rows[3:])


def test_with_repeats_the_last_event_of_positive_value_is_held_out() -> None:
    rows = [
        ("u", "a", "buy", 1),
        ("u", "b", "buy", 2),
        ("u", "a", "buy", 3),
        ("u", "c", "open", 4),  # of no value
        ("u", "a", "dislike", 5),
        ("v", "a", "buy", 1),
        ("v", "b", "buy", 2),
        ("v", "c", "dislike", 3),  # two moments only
    ]
    assert split(rows, "allow") == (rows[:2] + rows[5:], rows[2:5])


def test_a_log_whose_events_are_all_doubled_is_split_at_the_same_items() -> None:
    rows = [("u", item, "view", after) for after, item in enumerate("abc")] + [
        ("v", "a", "view", 0),
        ("v", "b", "view", 1),
    ]
    doubled = [row for row in rows for _ in range(2)]
    assert split(doubled) == ([row for row in doubled if row != ("u", "c", "view", 2)], [("u", "c", "view", 2)] * 2)


def test_users_with_only_negative_events() -> None:
    rows: list[Row] = [("u", item, "dislike", after) for after, item in enumerate("abcd")]
    assert split(rows) == (rows[:3], rows[3:])
    assert split(rows, "allow") == (rows, [])


def test_a_log_with_one_event_per_user_is_kept_whole() -> None:
    rows: list[Row] = [(user, "a", "buy", after) for after, user in enumerate("uvw")]
    for repeats in ("hide", "allow"):
        assert split(rows, repeats) == (rows, [])
    assert split([]) == ([], [])


def test_further_columns_of_the_log_are_held_out_with_it() -> None:
    rows: list[Row] = [("u", item, "view", after) for after, item in enumerate("abc")]
    assert split(rows, amount=True) == (rows[:2], rows[2:])
