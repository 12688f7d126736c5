"""Segments of users, on cases worked out by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.tiny_release import write_bare_release
from winnow.errors import WinnowError
from winnow.evaluation.held_out import Targets
from winnow.evaluation.segments import MOST, all_segments, segments
from winnow.features.table import Interactions
from winnow.release import Release
from winnow.schema import DAY_MS, Feature, FeatureSchema

COUNTRIES, CITIES = ["", "fi", "pt"], ["", *(f"c{number:02}" for number in range(1, 26))]
SCHEMA = FeatureSchema(
    item=(Feature(name="category", kind="categorical", cardinality=1),),
    user=(
        Feature(name="country", kind="categorical", cardinality=len(COUNTRIES)),
        Feature(name="cities", kind="categorical", width=2, cardinality=len(CITIES)),
        Feature(name="age", kind="numeric"),
    ),
    events=("view",),
    event_values=(1.0,),
    event_windows_ms=(1,),
    conversions=("view",),
)


def write(folder: Path, events: list[int], codes: list[list[int]]) -> Release:
    """A release of users with these numbers of events, and these codes of country and cities."""
    rows = np.zeros(len(events), SCHEMA.user_dtype)
    rows["categorical"] = codes
    arrays = {"offsets": np.concatenate([[0], np.cumsum(events)]).astype(np.int64), "user_rows": rows}
    words = json.dumps({"user_country": COUNTRIES, "user_cities": CITIES})
    return write_bare_release(folder, SCHEMA, arrays, "last", vocabularies=words)


def of(release: Release, users: list[int], by: str) -> dict[str, list[int]]:
    """Segment -> its users."""
    found = segments(release, np.array(users, np.int64), by)
    return {name: [users[place] for place in np.flatnonzero(mask).tolist()] for name, mask in found.items()}


def test_activity_has_terciles_of_the_evaluated_users(tmp_path: Path) -> None:
    release = write(tmp_path, [2, 90, 3, 4, 500, 6, 7], [[1, 1, 0]] * 7)
    assert of(release, [0, 1, 2, 3, 5, 6], "activity") == {
        "2 to 3 events": [0, 2],
        "4 to 6 events": [3, 5],
        "7 to 90 events": [1, 6],
    }


def test_users_with_equally_many_events_are_in_one_segment(tmp_path: Path) -> None:
    assert of(write(tmp_path, [1, 1, 1, 1], [[1, 1, 0]] * 4), [0, 1, 2, 3], "activity") == {"1 event": [0, 1, 2, 3]}


def test_a_column_has_a_segment_per_value_and_one_for_users_without(tmp_path: Path) -> None:
    release = write(tmp_path, [3] * 4, [[2, 1, 0], [1, 1, 3], [2, 0, 0], [0, 2, 0]])
    assert of(release, [0, 1, 2, 3], "country") == {"pt": [0, 2], "(none)": [3], "fi": [1]}
    assert of(release, [1, 3], "country") == {"(none)": [3], "fi": [1]}
    # User 1 has two cities.
    assert of(release, [0, 1, 2, 3], "cities") == {"c01": [0, 1], "(none)": [2], "c02": [3], "c03": [1]}


def test_the_values_of_the_fewest_users_are_one_segment(tmp_path: Path) -> None:
    release = write(tmp_path, [3] * 26, [[1, 25, 0], *([1, city, 0] for city in range(1, 26))])
    found = of(release, list(range(26)), "cities")
    assert len(found) == MOST
    assert found["c25"] == [0, 25]
    assert found["(6 other values)"] == [19, 20, 21, 22, 23, 24]


@pytest.mark.parametrize("by", ["age", "continent"])
def test_an_unknown_segment_is_refused_with_the_known_ones(by: str, tmp_path: Path) -> None:
    with pytest.raises(WinnowError, match=f"--by: '{by}' is not a segment .*; name activity, country, cities"):
        of(write(tmp_path, [3], [[1, 1, 0]]), [0], by)


def test_held_out_items_have_segments_by_age_category_and_content(tmp_path: Path) -> None:
    # Items 1 to 4: of today, of a week ago, of long ago, and without events.
    item = np.array([1, 2, 3, 3, 3, 3, 3], np.int32)
    at = np.array([99, 92, 9, 9, 9, 9, 9], np.int64) * DAY_MS
    offsets, ones = np.array([0, 1, 2, 7], np.int64), np.ones(7, np.int32)
    log = Interactions(offsets, item, ones, at, ones.astype(np.float32))
    rows = np.zeros(5, SCHEMA.item_dtype)
    rows["categorical"][:, 0] = [0, 1, 1, 0, 1]
    content = np.zeros(5, [("image", "?"), ("text", "?")])
    content["text"][1:], content["image"][4] = True, True
    arrays = {"offsets": offsets, "user_rows": np.zeros(3, SCHEMA.user_dtype), "item_rows": rows}
    words = {"user_country": COUNTRIES, "user_cities": CITIES, "category": ["", "books"]}
    release = write_bare_release(
        tmp_path, SCHEMA, arrays | {"item_modalities": content}, "last", vocabularies=json.dumps(words)
    )
    wanted = Targets(
        np.array([0, 1, 2]), np.array([2, 4, 3], np.int32), np.ones(3), np.full(3, 99 * DAY_MS + DAY_MS // 2)
    )
    found = {
        dimension: {name: np.flatnonzero(mask).tolist() for name, mask in masks.items()}
        for dimension, masks in all_segments(release, log, wanted).items()
    }
    assert found == {
        "activity": {"1 event": [0, 1], "5 events": [2]},
        "new users": {"new (up to 3 events)": [0, 1], "others": [2]},
        "item's age": {"cold (no event before)": [1], "7 to 30 days": [0], "over 30 days": [2]},
        "item's category": {"books": [0, 1], "(none)": [2]},
        "item's content": {"image + text": [1], "text": [0, 2]},
    }
