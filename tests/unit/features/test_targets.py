"""Target moments and their labels: point in time, within the attribution windows."""

from collections.abc import Sequence
from typing import get_args

import numpy as np
import pytest

from winnow.arrays.strings import Strings
from winnow.features.table import FeatureSet, Interactions
from winnow.features.targets import event_values, outcomes, target_rows, target_values
from winnow.schema import DAY_MS, NUMERIC_FEATURES, Feature, FeatureSchema, Repeats

VIEW, BUY, HATE = 1, 2, 3
HOUR = DAY_MS // 24


@pytest.fixture(autouse=True, params=[1, 1_000_000], ids=["user by user", "all users at once"])
def parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("winnow.features.targets._EVENTS", request.param)


def feature_set(
    users: Sequence[Sequence[tuple[int, int, int]]],
    windows: tuple[int, int, int] = (DAY_MS, DAY_MS, DAY_MS),
    grades: Sequence[float] | None = None,
    repeats: Repeats = "hide",
    as_of: int = 100 * DAY_MS,
) -> FeatureSet:
    """Events of the types view (1), buy (10) and hate (-5), as (item, code, ms) of each user, in the order of time."""
    rows = [event for events in users for event in events]
    item, event, time = (np.array(column) for column in zip(*rows, strict=True))
    schema = FeatureSchema(
        item=tuple(Feature(name=name, kind="numeric") for name in NUMERIC_FEATURES),
        user=(),
        events=("view", "buy", "hate"),
        event_values=(1.0, 10.0, -5.0),
        event_windows_ms=windows,
        conversions=("buy",),
        repeats=repeats,
    )
    count = int(item.max())
    return FeatureSet(
        schema=schema,
        vocabularies={},
        item_ids=Strings.of(["", *(f"i{number}" for number in range(1, count + 1))]),
        user_ids=np.array([f"u{number}" for number in range(len(users))]),
        item_rows=np.zeros(count + 1, schema.item_dtype),
        user_rows=np.zeros(len(users), schema.user_dtype),
        embeddings={},
        interactions=Interactions(
            offsets=np.cumsum([0, *map(len, users)]),
            item=item.astype(np.int32),
            event=event.astype(np.int32),
            timestamp=time.astype(np.int64),
            grade=np.array(grades if grades else np.ones(len(rows)), np.float32),
        ),
        as_of=as_of,
    )


def test_labels_look_as_far_as_their_window_and_never_back() -> None:
    features = feature_set(
        # One user: item 1 is viewed, bought after two hours and again after two days; item 2 is bought, then viewed.
        [[(1, VIEW, 0), (1, BUY, 2 * HOUR), (2, BUY, 3 * HOUR), (2, VIEW, 4 * HOUR), (1, BUY, 2 * DAY_MS)]],
        windows=(DAY_MS, DAY_MS, DAY_MS),
        as_of=10 * DAY_MS,
    )
    grade, known = outcomes(features, np.arange(5))
    assert grade.tolist() == [[1, 1, 0], [0, 1, 0], [1, 1, 0], [1, 0, 0], [0, 1, 0]]
    assert known.all()


def test_each_type_has_its_own_window() -> None:
    events = [[(1, VIEW, 0), (1, BUY, 5 * HOUR), (1, HATE, 5 * HOUR)]]
    features = feature_set(events, windows=(DAY_MS, 4 * HOUR, 5 * HOUR), as_of=6 * HOUR)
    grade, known = outcomes(features, np.array([0]))
    assert grade.tolist() == [[1, 0, 1]]
    assert known.tolist() == [[False, True, True]], "the day has not ended, four and five hours have"


def test_a_graded_label_is_the_largest_grade() -> None:
    features = feature_set([[(1, VIEW, 0), (1, VIEW, HOUR), (1, VIEW, 2 * HOUR)]], grades=[0.25, 0.75, 0.5])
    assert outcomes(features, np.arange(3)).grade[:, 0].tolist() == [0.75, 0.75, 0.5]
    assert event_values(features.interactions, features.schema).tolist() == [0.25, 0.75, 0.5]


def test_other_users_and_items_do_not_count_and_rows_may_come_in_any_order() -> None:
    features = feature_set([[(1, VIEW, 0), (2, BUY, HOUR)], [(1, BUY, HOUR), (2, VIEW, 2 * HOUR)]])
    assert outcomes(features, np.array([3, 0])).grade.tolist() == [[1, 0, 0], [1, 0, 0]]
    assert outcomes(features, np.array([], np.int64)).grade.shape == (0, 3)


@pytest.mark.parametrize(
    ("repeats", "expected"), [("hide", [0, 3]), ("demote", [0, 3]), ("allow", [0, 3, 4])], ids=get_args(Repeats)
)
def test_targets_are_first_events_and_where_allowed_later_visits(repeats: Repeats, expected: list[int]) -> None:
    events = [[(1, VIEW, 0), (1, VIEW, 0), (1, BUY, HOUR), (2, VIEW, 2 * HOUR), (1, BUY, 3 * DAY_MS)]]
    assert np.flatnonzero(target_rows(feature_set(events, repeats=repeats))).tolist() == expected


def test_without_a_clock_every_later_moment_is_a_visit() -> None:
    events = [[(1, VIEW, 0), (1, VIEW, 1), (2, VIEW, 2), (1, VIEW, 3), (1, VIEW, 3)]]
    features = feature_set(events, repeats="allow", as_of=4)
    assert np.flatnonzero(target_rows(features)).tolist() == [0, 1, 2, 3]


def test_values_are_relative_to_the_mean_positive_one() -> None:
    events = [(1, VIEW, 0), (1, BUY, HOUR), (2, VIEW, 2 * HOUR), (3, VIEW, 3 * HOUR), (3, HATE, 4 * HOUR)]
    features = feature_set([events])
    values = target_values(features, target_rows(features))
    # A view and a purchase are worth 11, a view 1, a view and a dislike -4; the mean of 11 and 1 is 6.
    assert values == pytest.approx([11 / 6, 0, 1 / 6, -4 / 6, 0])


def test_equal_values_weigh_one() -> None:
    features = feature_set([[(1, VIEW, 0), (2, VIEW, 1)], [(2, VIEW, 1)]])
    assert target_values(features, target_rows(features)).tolist() == [1.0, 1.0, 1.0]


def test_only_refusals_have_negative_values() -> None:
    features = feature_set([[(1, HATE, 0), (2, HATE, 1)]])
    assert target_values(features, target_rows(features)).tolist() == [-5.0, -5.0]
