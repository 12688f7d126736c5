"""The generated data set of the benchmark of training."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from benchmarks.training import synthetic_log
from benchmarks.training.synthetic_log import LogSize, write
from winnow.datasets.canonical.dataset import codes
from winnow.datasets.ingest import ingest


def test_the_data_set_is_valid_and_the_same_for_the_same_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic_log, "_EVENTS_PER_FILE", 2000)
    size = LogSize(events=5000, users=120, items=77)
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        write(tmp_path / name, LogSize(size.events, size.users, size.items, seed))
    tables = {name: ingest(str(tmp_path / name), tmp_path / f"{name}-out") for name in ("one", "same", "other")}
    one = tables["one"]
    assert len(list((tmp_path / "one" / "events").iterdir())) == 3
    assert (one.events.num_rows, one.users.num_rows, one.items.num_rows) == (5000, 120, 77)
    assert one.account.quarantined == 0
    assert len(one.events["user_id"].unique()) == 120
    times = one.events["timestamp"].to_numpy()
    assert (np.diff(times) >= 0).all()
    assert one.events.equals(tables["same"].events)
    assert not one.events.equals(tables["other"].events)


def test_the_item_before_tells_more_than_popularity(tmp_path: Path) -> None:
    write(tmp_path / "log", LogSize(events=40_000, users=500, items=300))
    events = pq.read_table(tmp_path / "log" / "events")
    user, item = codes(events["user_id"]), codes(events["item_id"])
    order = np.argsort(user, kind="stable")
    same = np.diff(user[order]) == 0
    before, after = item[order][:-1][same], item[order][1:][same]
    follows = np.zeros((300, 300))
    np.add.at(follows, (before, after), 1)
    by_item = np.sort(follows, axis=1)[:, -3:].sum() / len(after)
    popular = np.sort(np.bincount(after))[-3:].sum() / len(after)
    assert by_item > 0.5
    assert popular < 0.1
