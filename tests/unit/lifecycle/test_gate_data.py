"""The gate's checks of the data: each fault that valid rows can have together is named, and no other check fails."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.support.tiny_release import SCHEMA, write_bare_release
from winnow.datasets.canonical.dataset import Dataset
from winnow.datasets.canonical.spec import DatasetSpec
from winnow.datasets.profile import Column, DataProfile
from winnow.datasets.quantiles import distance, quantiles
from winnow.lifecycle.gate import data
from winnow.lifecycle.gate.rules import DataRules
from winnow.release import Release

DAY_MS = 86_400_000
PRICES = np.geomspace(1.0, 500.0, 100)
LIVE = DataProfile(
    rows={"items": 100, "users": 80, "events": 1500},
    event_types={"view": 1450, "buy": 50},
    newest=1_775_000_000_000,
    columns={
        "items.category": Column(missing=0.0, shares={"books": 0.6, "toys": 0.4}),
        "items.image": Column(missing=0.02),
        "items.price": Column(missing=0.0, quantiles=quantiles(PRICES)),
        "users.country": Column(missing=0.1, shares={"pt": 0.5, "fi": 0.4}),
    },
    modalities={"image": 0.98, "text": 1.0},
)


def release(folder: Path, profile: DataProfile | None) -> Release:
    documents = {} if profile is None else {"profile": profile.model_dump_json()}
    return write_bare_release(folder, SCHEMA, {}, "none", **documents)


@pytest.fixture
def failed(tmp_path: Path) -> Callable[[DataProfile], dict[str, str]]:
    live = release(tmp_path / "live", LIVE)

    def checked(profile: DataProfile) -> dict[str, str]:
        checks = list(data.checks(release(tmp_path / "candidate", profile), live, DataRules()))
        assert len(checks) == 6
        return {check.name: check.message for check in checks if not check.passed}

    return checked


def changed(**fields: object) -> DataProfile:
    return DataProfile.model_validate({**LIVE.model_dump(), **fields})


def columns(**changes: Column) -> dict[str, Column]:
    return LIVE.columns | {name.replace("_", ".", 1): column for name, column in changes.items()}


def test_equal_data_passes(failed: Callable[[DataProfile], dict[str, str]]) -> None:
    assert failed(LIVE) == {}


def test_some_growth_passes(failed: Callable[[DataProfile], dict[str, str]]) -> None:
    grown = changed(rows={"items": 110, "users": 90, "events": 1900}, newest=LIVE.newest + DAY_MS)
    assert failed(grown) == {}


FAULTS = {
    "a log cut in half": (
        changed(rows=LIVE.rows | {"events": 750}, event_types={"view": 725, "buy": 25}),
        "data: volume",
        "events: 750 beside 1,500; events of type view: 725 beside 1,450; 0.8 to 1.8 times the live release's",
    ),
    "all events doubled": (
        changed(rows=LIVE.rows | {"events": 3000}, event_types={"view": 2900, "buy": 100}),
        "data: volume",
        "events: 3,000 beside 1,500",
    ),
    "an old log": (
        changed(newest=LIVE.newest - DAY_MS),
        "data: newest event",
        "the newest event is of 2026-03-30 23:33 UTC, that of release 1 of 2026-03-31 23:33 UTC; it must not be older",
    ),
    "a column without values": (
        changed(columns=columns(users_country=Column(missing=1.0))),
        "data: missing values",
        "users.country is missing in 100.0% of the rows, was 10.0%; a change of at most 5% of the rows is allowed",
    ),
    "all users from one country": (
        changed(columns=columns(users_country=Column(missing=0.1, shares={"pt": 0.9}))),
        "data: categories",
        "users.country is 'fi' in 0.0% of the rows, was 40.0%; users.country is 'pt' in 90.0% of the rows, was 50.0%",
    ),
    "a new category for everything": (
        changed(columns=columns(items_category=Column(missing=0.0, shares={"all": 1.0}))),
        "data: categories",
        "items.category is 'all' in 100.0% of the rows, was 0.0%",
    ),
    "views logged as purchases": (
        changed(event_types={"view": 1000, "buy": 500}),
        "data: categories",
        "events.event is 'buy' in 33.3% of the rows, was 3.3%",
    ),
    "prices in cents": (
        changed(columns=columns(items_price=Column(missing=0.0, quantiles=quantiles(PRICES * 100)))),
        "data: numbers",
        "of the rows: its median is 2237.17, was 22.3717; a change of at most 20% of the rows is allowed",
    ),
    "one price for everything": (
        changed(columns=columns(items_price=Column(missing=0.0, quantiles=quantiles(np.full(100, 20.0))))),
        "data: numbers",
        "items.price has other values in ",
    ),
    "a lost modality": (
        changed(modalities={"text": 1.0}),
        "data: modalities",
        "0.0% of the items have an embedding of image, 98.0% had",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named(fault: str, failed: Callable[[DataProfile], dict[str, str]]) -> None:
    profile, name, said = FAULTS[fault]
    found = failed(profile)
    # Views that are logged as purchases also are too few views.
    assert name in found
    assert found.keys() <= {name, "data: volume"}
    assert said in found[name]


def test_prices_may_rise_a_little(failed: Callable[[DataProfile], dict[str, str]]) -> None:
    assert failed(changed(columns=columns(items_price=Column(missing=0.0, quantiles=quantiles(PRICES * 1.1))))) == {}


def test_few_rows_differ_by_chance(tmp_path: Path) -> None:
    """Five items with other prices are no evidence, a thousand are."""
    sizes = {5: True, 1000: False}
    for rows, passes in sizes.items():
        releases = [
            release(
                tmp_path / f"{rows}-{factor}",
                changed(
                    rows=LIVE.rows | {"items": rows},
                    columns=columns(items_price=Column(missing=0.0, quantiles=quantiles(PRICES * factor))),
                ),
            )
            for factor in (1, 5)
        ]
        [check] = [each for each in data.checks(*releases, DataRules()) if each.name == "data: numbers"]
        assert check.passed == passes, check.message


def test_a_profile_of_an_earlier_version_has_no_quantiles(failed: Callable[[DataProfile], dict[str, str]]) -> None:
    assert failed(changed(columns=columns(items_price=Column(missing=0.0)))) == {}


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ([1.0] * 50, [1.0] * 50, 0.0),
        ([1.0] * 50, [2.0] * 50, 1.0),
        ([0.0] * 50 + [1.0] * 50, [0.0] * 80 + [1.0] * 20, 0.3),
        (np.arange(1000) / 1000, np.arange(1000) / 1000 + 0.25, 0.25),
        (np.arange(1000), np.array([500.0]), 0.5),
    ],
    ids=["one value", "another value", "two values", "shifted", "a single row"],
)
def test_the_distance_is_that_of_kolmogorov_and_smirnov(
    before: Sequence[float], now: Sequence[float], expected: float
) -> None:
    found = distance(quantiles(np.asarray(before)), quantiles(np.asarray(now)))
    assert found == pytest.approx(expected, abs=0.03)
    assert found == distance(quantiles(np.asarray(now)), quantiles(np.asarray(before)))


def test_the_age_of_the_newest_event_is_checked_on_request(tmp_path: Path) -> None:
    candidate = release(tmp_path, LIVE)
    assert list(data.checks(candidate, None, DataRules())) == []
    [check] = data.checks(candidate, None, DataRules(newest_event_hours=48.0))
    created = candidate.manifest.created_at.timestamp()
    assert check.passed == (created - LIVE.newest / 1000 <= 48 * 3600)
    [fresh] = data.checks(
        release(tmp_path / "b", changed(newest=int(created * 1000))), None, DataRules(newest_event_hours=48.0)
    )
    assert fresh.passed
    [old] = data.checks(
        release(tmp_path / "c", changed(newest=int(created - 50 * 3600) * 1000)),
        None,
        DataRules(newest_event_hours=48.0),
    )
    assert not old.passed
    assert "was 50.0 hours old when the release was built; at most 48 are allowed" in old.message


def test_a_release_without_a_profile(tmp_path: Path) -> None:
    with_profile, without = release(tmp_path / "a", LIVE), release(tmp_path / "b", None)
    [check] = data.checks(without, with_profile, DataRules())
    assert not check.passed
    assert "release 1 has no profile of its data" in check.message
    [check] = data.checks(with_profile, without, DataRules())
    assert check.passed, "a live release of an earlier version must not keep every later one out"


def test_an_evaluated_release_of_other_data_is_refused(tmp_path: Path) -> None:
    candidate, twin = release(tmp_path / "a", LIVE), release(tmp_path / "b", LIVE)
    assert data.same_data(candidate, twin).passed
    other = data.same_data(candidate, release(tmp_path / "c", changed(newest=LIVE.newest + 1)))
    assert not other.passed
    assert "it was built from other data" in other.message


def test_a_profile_counts_missing_values_and_shares() -> None:
    spec = DatasetSpec.model_validate(
        {"name": "shop", "events": {"view": 1}, "items": {"categorical": ["tags"]}, "users": {"numeric": ["age"]}}
    )
    items = pa.table(
        {
            "item_id": ["a", "b", "c", "d"],
            "title": ["one", "", None, "four"],
            "description": pa.nulls(4, pa.string()),
            "category": ["hat", "hat", None, "shoe"],
            "price": [1.0, None, 2.0, 3.0],
            "image": pa.nulls(4, pa.string()),
            "audio": pa.nulls(4, pa.string()),
            "created_at": pa.nulls(4, pa.int64()),
            "available": [True] * 4,
            "tags": pa.array([["x", "x", "y"], ["x"], [], None], pa.list_(pa.string())),
        }
    )
    users = pa.table({"user_id": ["u"], "age": pa.array([None], pa.float64())})
    vectors = np.array([[0, 0], [1, 0], [0, 0], [0, 1], [1, 0]], np.float32)
    profile = DataProfile.of(
        Dataset(spec, items, users, pa.table({})), {"view": 7}, 5, {"text": vectors}, np.array([4, 1, 2, 0])
    )
    assert profile.rows == {"items": 4, "users": 1, "events": 7}
    assert profile.columns == {
        "items.title": Column(missing=0.5),
        "items.description": Column(missing=1.0),
        "items.category": Column(missing=0.25, shares={"hat": 0.5, "shoe": 0.25}),
        "items.price": Column(missing=0.25, quantiles=quantiles(np.array([1.0, 2.0, 3.0]))),
        "items.image": Column(missing=1.0),
        "items.audio": Column(missing=1.0),
        "items.tags": Column(missing=0.5, shares={"x": 0.5, "y": 0.25}),
        "users.age": Column(missing=1.0),
        "events.category": Column(missing=2 / 7, shares={"hat": 5 / 7}),
    }
    assert profile.modalities == {"text": 0.75}
