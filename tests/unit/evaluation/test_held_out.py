"""Outcomes of held-out events and the users that an objective counts, on cases worked out by hand."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from tests.support.tiny_release import write_bare_release
from winnow.errors import WinnowError
from winnow.evaluation.held_out import OUTCOME, moments, outcomes, targets, types_of
from winnow.release import Release
from winnow.schema import Feature, FeatureSchema, Repeats

VIEW, BUY, DISLIKE = 1, 2, 3
WINDOWS = (10, 100, 1000)


def schema(repeats: Repeats = "hide") -> FeatureSchema:
    return FeatureSchema(
        item=(Feature(name="category", kind="categorical", cardinality=1),),
        user=(),
        events=("view", "buy", "dislike"),
        event_values=(1.0, 4.0, -6.0),
        event_windows_ms=WINDOWS,
        conversions=("buy",),
        repeats=repeats,
    )


def held(*rows: tuple[int, int, int, int, float]) -> pa.Table:
    """A held-out log of user, item, event type code, timestamp and grade."""
    columns = np.array(rows, np.float64).reshape(-1, 5).T
    kinds = {"user": np.int32, "item": np.int32, "event": np.int32, "timestamp": np.int64, "grade": np.float64}
    return pa.table({name: column.astype(kind) for (name, kind), column in zip(kinds.items(), columns, strict=True)})


def outcome(*rows: tuple[int, int, int, float]) -> NDArray[np.void]:
    return np.array(list(rows), OUTCOME)


def write(folder: Path, found: NDArray[np.void], repeats: Repeats = "hide") -> Release:
    # A user's number, times a thousand, is when the held-out events begin.
    arrays = {"holdout": found, "holdout_moments": 1000 * np.unique(found["user"]).astype(np.int64)}
    return write_bare_release(folder, schema(repeats), arrays, "last", vocabularies="{}")


def test_an_outcome_has_the_events_with_the_first_item_within_their_windows() -> None:
    log = held(
        (0, 7, VIEW, 0, 1.0),
        (0, 8, BUY, 5, 1.0),  # another item
        (0, 7, VIEW, 11, 1.0),  # after the window of views, which has one event already
        (0, 7, BUY, 100, 1.0),  # just within the window of purchases
        (0, 7, DISLIKE, 1001, 1.0),  # after the window of dislikes
        (3, 2, DISLIKE, 50, 1.0),
    )
    expected = outcome((0, 7, VIEW, 1.0), (0, 7, BUY, 1.0), (3, 2, DISLIKE, 1.0))
    np.testing.assert_array_equal(outcomes(log, WINDOWS), expected)
    assert moments(log).tolist() == [0, 50]


def test_of_several_events_of_a_type_the_largest_grade_counts_once() -> None:
    log = held(
        (0, 7, VIEW, 0, 0.25), (0, 7, VIEW, 1, 0.75), (0, 7, VIEW, 2, 0.5), (1, 7, VIEW, 0, 1.0), (1, 7, VIEW, 0, 1.0)
    )
    np.testing.assert_array_equal(outcomes(log, WINDOWS), outcome((0, 7, VIEW, 0.75), (1, 7, VIEW, 1.0)))


def test_nothing_held_out_has_no_outcomes() -> None:
    assert outcomes(held(), WINDOWS).tolist() == []


@pytest.mark.parametrize(
    ("objective", "types"),
    [
        ("any", ("view", "buy")),
        ("conversion", ("buy",)),
        ("dislike", ("dislike",)),
        ("dislike, view", ("view", "dislike")),
    ],
)
def test_an_objective_names_event_types(objective: str, types: tuple[str, ...]) -> None:
    assert types_of(schema(), objective) == types


def test_a_declared_type_comes_before_a_group_of_its_name() -> None:
    of = schema().model_copy(update={"events": ("any", "buy, again", "conversion")})
    assert types_of(of, "any") == ("any",)
    assert types_of(of, "buy, again") == ("buy, again",)


@pytest.mark.parametrize("objective", ["purchase", "view,purchase", ""])
def test_an_unknown_objective_is_refused_with_the_types(objective: str) -> None:
    with pytest.raises(
        WinnowError, match=r"--objective: .* is not an event type .*view, buy, dislike.*any or conversion"
    ):
        types_of(schema(), objective)


OUTCOMES = outcome(
    (2, 7, VIEW, 1.0),
    (2, 7, BUY, 0.5),  # 1 + 4 / 2
    (4, 8, VIEW, 1.0),
    (4, 8, DISLIKE, 1.0),  # 1 - 6
    (5, 9, DISLIKE, 1.0),  # only a negative event
    (6, 7, BUY, 0.0),  # of grade 0, like no event
)


@pytest.mark.parametrize(
    ("types", "users", "items", "values"),
    [
        (["view", "buy"], [2, 4], [7, 8], [3.0, -5.0]),
        (["buy"], [2], [7], [3.0]),
        (["dislike"], [4, 5], [8, 9], [-5.0, -6.0]),
    ],
)
def test_an_objective_counts_users_and_the_value_is_of_the_whole_outcome(
    types: list[str], users: list[int], items: list[int], values: list[float], tmp_path: Path
) -> None:
    found = targets(write(tmp_path, OUTCOMES), types)
    assert found.moments is not None
    assert [column.tolist() for column in found[:3]] == [users, items, values]
    assert found.moments.tolist() == [1000 * user for user in users]


def test_an_objective_without_users_is_refused_with_what_was_held_out(tmp_path: Path) -> None:
    with pytest.raises(WinnowError, match="event of buy; the 1 held-out items have view of 1 users, buy of 0 users, "):
        targets(write(tmp_path, outcome((0, 1, VIEW, 1.0))), ["buy"])


@pytest.mark.parametrize(
    ("repeats", "needed"), [("hide", "events with three items"), ("allow", "three events of positive value")]
)
def test_a_release_without_held_out_events_is_refused_with_the_reason(
    repeats: Repeats, needed: str, tmp_path: Path
) -> None:
    with pytest.raises(WinnowError, match=f"because no user has {needed} or more"):
        targets(write(tmp_path, outcome(), repeats), ["view"])
