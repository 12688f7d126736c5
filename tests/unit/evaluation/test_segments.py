"""Segments of users, on cases worked out by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.tiny_release import write_bare_release
from winnow.errors import WinnowError
from winnow.evaluation.segments import MOST, segments
from winnow.release import Release
from winnow.schema import Feature, FeatureSchema

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
