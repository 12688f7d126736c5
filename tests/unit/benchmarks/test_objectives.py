"""The parts of the objectives' benchmark that compute: the grocery log, labels, calibration, baselines."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.value import subjects
from benchmarks.value.grocery import Grocery, grocery, write
from benchmarks.value.heads import area_under_curve, calibration_error
from benchmarks.value.moments import Log, following
from benchmarks.value.repeats import most_bought, regular_items
from winnow.datasets.canonical.validate import validate
from winnow.datasets.marketplace import MarketplaceSize, generate
from winnow.datasets.marketplace.catalog import DAY, END
from winnow.datasets.readers.tables import read_local
from winnow.schema import DAY_MS


@pytest.fixture(scope="module")
def log() -> Grocery:
    return grocery(seed=1, users=40)


def test_half_of_the_grocery_purchases_are_repeats_after_the_items_own_interval(log: Grocery) -> None:
    assert log.repeated.mean() == pytest.approx(0.5, abs=0.03)
    assert set(log.ago[log.last]) == {log.ago.min()}
    pair = log.user * len(log.price) + log.item
    order = np.lexsort((-log.ago, pair))
    again = np.diff(pair[order]) == 0
    days, item = -np.diff(log.ago[order])[again] / DAY_MS, log.item[order][1:][again]
    # Between two purchases of an item lies its interval, give or take the days until the next trip.
    intervals = [days[item == one] for one in np.unique(item) if (item == one).sum() > 10]
    assert np.mean([each.std() for each in intervals]) < 0.5 * np.std(days)


def test_the_grocery_log_is_a_valid_data_set_that_ends_now(log: Grocery, tmp_path: Path) -> None:
    now = 1_700_000_000_000
    write(log, tmp_path / "grocery", now, "allow")
    data = validate(read_local(tmp_path / "grocery"))
    assert data.spec.repeats == "allow"
    moments = data.events["timestamp"].to_numpy()
    assert data.events.num_rows == len(log.user)
    assert np.all(np.diff(moments) >= 0)
    assert 0 < now - moments[-1] < 60_000


def test_most_bought_is_by_times_then_by_recency_then_by_buyers() -> None:
    user = np.array([0, 0, 0, 0, 0, 1, 1, 2])
    item = np.array([3, 1, 1, 2, 3, 4, 5, 4])
    log = Grocery(user, item, np.arange(8)[::-1], np.zeros(30, np.int64), np.zeros(30))
    assert most_bought(log, 0)[:4] == [3, 1, 2, 4]


def test_regular_items_include_ties(tmp_path: Path) -> None:
    lines = ["user_id,item_id,event,timestamp"]
    lines += [f"u,i{item:02d},view,{item}" for item in range(12) for _ in range(2 if item < 8 else 1)]
    (tmp_path / "events.csv").write_text("\n".join(lines))
    assert regular_items(tmp_path / "events.csv")["u"] == {f"i{item:02d}" for item in range(12)}


def test_area_and_calibration_by_hand() -> None:
    probability = np.array([0.1, 0.2, 0.2, 0.9], np.float32)
    assert area_under_curve(probability, np.array([False, False, True, True])) == pytest.approx(3.5 / 4)
    assert np.isnan(area_under_curve(probability, np.ones(4, np.bool_)))
    rng = np.random.default_rng(0)
    true = rng.random(100_000).astype(np.float32)
    label = rng.random(len(true)) < true
    assert calibration_error(true, label) < 0.01
    assert calibration_error(true / 2, label) == pytest.approx(0.25, abs=0.01)


def test_a_label_is_an_event_of_the_same_user_and_item_within_the_window() -> None:
    view, buy = 1, 2
    events = [
        (0, 5, view, 0),
        (0, 5, buy, 100),
        (0, 6, view, 200),
        (0, 5, view, 300),
        (1, 6, buy, 250),
        (1, 7, view, 400),
        (1, 7, buy, 400 + 1001),
    ]
    user, item, event, timestamp = np.array(events, np.int64).T
    log = Log(user, item.astype(np.int32), event.astype(np.int32), timestamp, np.array([0, 4, 7]))
    views = np.flatnonzero(event == view)
    followed = following(log, views, (1000, 1000))
    assert followed[:, 0].all()
    assert followed[:, 1].tolist() == [True, False, False, False]


def test_the_marketplace_before_a_moment_has_neither_later_events_nor_later_items(tmp_path: Path) -> None:
    generate(tmp_path / "demo", MarketplaceSize(items=60, users=40, events=3000))
    until = END - 30 * DAY
    earlier = subjects.before(tmp_path / "demo", until)
    items, events = (pq.read_table(earlier / f"{name}.parquet") for name in ("items", "events"))
    assert max(events["timestamp"].to_pylist()) < until
    assert max(items["created_at"].to_pylist()) < until
    assert 0 < items.num_rows < 60
    assert 0 < events.num_rows < 3000
    validate(read_local(earlier))
    # The original is not changed by the copy.
    assert pq.read_table(tmp_path / "demo" / "events.parquet").num_rows == 3000


def test_an_unknown_part_is_refused_by_its_number() -> None:
    refused = CliRunner().invoke(app, ["objectives", "--only", "1,9"], env={"COLUMNS": "200"})
    assert refused.exit_code == 2
    assert "'9' is none of 1, 2, 3, 4, 5, 6, 7" in refused.output
