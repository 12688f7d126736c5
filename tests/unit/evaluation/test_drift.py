"""Drift between the data of two releases."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.tiny_release import write_release
from winnow.evaluation.drift import drift
from winnow.evaluation.record import ColumnDrift, DataDrift
from winnow.release import Release


def releases(folder: Path) -> tuple[Release, Release]:
    return write_release(folder, 1), write_release(folder, 2)


def change(release: Release, name: str, **columns: object) -> None:
    """Rewrite columns of an array of a release."""
    array = np.array(release.array(name))
    for column, value in columns.items():
        array[column] = value
    np.save(release.folder / f"{name}.npy", array)


def column(found: DataDrift, name: str) -> ColumnDrift:
    return next(each for each in found.columns if each.column == name)


def test_equal_data_has_no_distance(tmp_path: Path) -> None:
    live, release = releases(tmp_path)
    change(live, "timestamp")
    found = drift(release, live)
    assert [(each.value, each.before, each.now) for each in found.volumes] == [
        ("items", 300, 300),
        ("users", 20, 20),
        ("events", 1200, 1200),
    ]
    assert found.only == ["events.category", "events.event"]  # no event is newer than the live release
    assert {each.column for each in found.columns} >= {"items.category", "items.tags", "items.grams", "users.country"}
    assert {each.distance for each in found.columns} == {0.0}


def test_a_change_of_a_column_is_found_with_its_values(tmp_path: Path) -> None:
    live, release = releases(tmp_path)
    rows = np.array(release.array("user_rows"))
    rows["categorical"][:, 0] = 1  # all users from one country
    np.save(release.folder / "user_rows.npy", rows)
    items = np.array(release.array("item_rows"))
    items["categorical"][1:151, 0] = 0  # half of the items lose their category
    items["numeric"][1:, -1] += 0.5
    np.save(release.folder / "item_rows.npy", items)
    found = drift(release, live)
    country = column(found, "users.country")
    assert country.distance > country.chance > 0
    assert (country.changes[0].value, country.changes[0].now) == ("pt", 1.0)
    category = column(found, "items.category")
    assert (category.missing.before, category.missing.now) == (0.0, 0.5)
    grams = column(found, "items.grams")
    # Stored standardised; half of a uniform distribution's width lies between the two.
    assert grams.distance == pytest.approx(0.5, abs=0.06)
    assert grams.changes[1].now - grams.changes[1].before == pytest.approx(0.5 * 5.0, abs=1e-3)
    assert found.columns[0].distance == max(each.distance for each in found.columns)


def test_chance_covers_the_distances_of_samples_of_one_population(tmp_path: Path) -> None:
    live = write_release(tmp_path, 1)
    within = total = 0
    for seed in range(2, 12):
        found = drift(write_release(tmp_path, seed, seed=seed), live)
        for name in ("items.category", "items.tags", "items.price", "items.grams", "users.country"):
            total += 1
            within += column(found, name).distance <= column(found, name).chance
    assert within >= 0.85 * total
