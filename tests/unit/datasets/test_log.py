"""Bad rows of a log are counted and left out, up to a limit; ids and timestamps follow the rules of requests."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from winnow.datasets.ingest import ingest
from winnow.errors import DataError

START = 1_700_000_000_000
HEADER = "user_id,item_id,event,timestamp,amount\n"
GOOD = "".join(f"u{row % 7},{'ab'[row % 2]},view,{START + row},{row % 3 or ''}\n" for row in range(5000))
BAD = [
    ("u1,a,view,1700000000,\n", "timestamp", "must be milliseconds since the epoch, but looks like seconds"),
    ("u1,a,view,1700000000000000,\n", "timestamp", "must be milliseconds since the epoch, but looks like micro"),
    ("u1,a,view,90000000000000,\n", "timestamp", "must be in the past"),
    ("u1,a,view,-7,\n", "timestamp", "later than 1973"),
    ("u1,a,view,soon,\n", "timestamp", "expected a moment"),
    ("u1,a,view,,\n", "timestamp", "no value"),
    (",a,view,1700000000000,\n", "user_id", "no value"),
    ("u1,zzz,view,1700000000000,\n", "item_id", "not in items.csv"),
    ("u1,a,stare,1700000000000,\n", "event", "not declared under events in dataset.yaml, which has view, buy"),
    ("u\x07,a,view,1700000000000,\n", "user_id", "must be free of control characters"),
    (f"{'u' * 257},a,view,1700000000000,\n", "user_id", "must be a string of 1 to 256 characters"),
    ("u1,a,view,1700000000000,minus one\n", "amount", "expected a finite number"),
    ("u1,a,view,1700000000000,1e999\n", "amount", "expected a finite number"),
    ("u1,a,view,1700000000000,-1\n", "amount", "a negative amount; leave unknown amounts empty"),
    ("u1,a,view\n", None, "rows with more or fewer values than the header"),
    ("u1,a,view,1700000000000,5,6\n", None, "rows with more or fewer values than the header"),
]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "dataset.yaml").write_text("name: shop\nevents: {view: {value: 1, full_amount: 2}, buy: 5}\n")
    (folder / "items.csv").write_text("item_id\na\nb\n")
    return folder


@pytest.mark.parametrize(("row", "column", "said"), BAD)
def test_one_bad_row_of_thousands_is_left_out_and_reported(
    shop: Path, tmp_path: Path, row: str, column: str | None, said: str
) -> None:
    (shop / "events.csv").write_text(HEADER + GOOD + row)
    data = ingest(str(shop), tmp_path / "out")
    assert data.events.num_rows == 5000
    assert data.users.num_rows == 7
    lines = data.account.lines()
    assert lines[0].startswith("1 of 5,001 rows of the log are left out")
    assert f"events.csv, column {column}" in lines[1] if column else lines[1].startswith("events.csv: ")
    assert said in lines[1]
    report = json.loads((tmp_path / "out/ingest.json").read_text())
    assert (report["rows"], report["quarantined"]) == (5001, 1)
    [reason] = report["reasons"]
    assert (reason["file"], reason["column"], reason["rows"]) == ("events.csv", column, 1)


def test_more_bad_rows_than_the_limit_are_refused_with_every_reason(shop: Path, tmp_path: Path) -> None:
    (shop / "events.csv").write_text(HEADER + GOOD + "".join(row for row, _, _ in BAD))
    with pytest.raises(DataError) as refused:
        ingest(str(shop), tmp_path / "out")
    for _, _, said in BAD:
        assert said in str(refused.value)
    assert "Bad rows of the log: 16 of 5,016; up to 5 would be left out (max_bad_share" in str(refused.value)
    assert not (tmp_path / "out").exists()
    (shop / "dataset.yaml").write_text("name: shop\nevents: {view: 1, buy: 5}\nmax_bad_share: 0.01\n")
    data = ingest(str(shop), tmp_path / "out")
    assert (data.events.num_rows, data.account.quarantined) == (5000, 16)
    (shop / "dataset.yaml").write_text("name: shop\nevents: {view: 1, buy: 5}\nmax_bad_share: 0\n")
    with pytest.raises(DataError, match="up to 0 would be left out"):
        ingest(str(shop), tmp_path / "out")


def test_a_row_with_two_faults_is_one_row(shop: Path, tmp_path: Path) -> None:
    (shop / "events.csv").write_text(HEADER + GOOD + "u1,zzz,stare,soon,\n")
    account = ingest(str(shop), tmp_path / "out").account
    assert (account.quarantined, len(account.reasons)) == (1, 3)


def test_errors_of_the_whole_log_are_refused(shop: Path, tmp_path: Path) -> None:
    (shop / "dataset.yaml").write_text("name: shop\nevents: {view: 1}\nmax_bad_share: 0.9\n")
    (shop / "events.csv").write_text("user_id,item_id,event\nu,a,view\n")
    with pytest.raises(DataError, match="column timestamp: the column is missing and is required"):
        ingest(str(shop), tmp_path / "out")
    (shop / "events.csv").write_text(HEADER + "u,a,like,1700000000000,\n")
    with pytest.raises(DataError, match="'like'"):
        ingest(str(shop), tmp_path / "out")


def test_ids_that_requests_refuse_are_refused_in_the_catalog(shop: Path, tmp_path: Path) -> None:
    (shop / "items.csv").write_text(f"item_id\na\nb\n{'c' * 257}\nd\x00\n".replace("\x00", "\x85"))
    (shop / "events.csv").write_text(HEADER + GOOD)
    with pytest.raises(DataError) as refused:
        ingest(str(shop), tmp_path / "out")
    assert "column item_id: must be a string of 1 to 256 characters (1 row)" in str(refused.value)
    assert "column item_id: must be free of control characters (1 row), for example 'd\\x85'" in str(refused.value)
    assert max(map(len, str(refused.value).splitlines())) < 250
    (shop / "items.csv").write_text(f"item_id\na\nb\n{'ü' * 256}\n", encoding="utf-8")
    assert ingest(str(shop), tmp_path / "out").items.num_rows == 3


def test_exports_copied_into_the_log_all_count(shop: Path, tmp_path: Path) -> None:
    (shop / "events.csv").write_text(HEADER + GOOD)
    (shop / "events").mkdir()
    exported = pa.table(
        {
            "user_id": ["new", "new"],
            "item_id": ["a", "b"],
            "event": ["view", "buy"],
            "timestamp": [START, START + 1],
            "event_id": ["e1", None],
            "stream_id": ["1-0", "1-1"],
        }
    )
    pq.write_table(exported, shop / "events/1-0.parquet")
    data = ingest(str(shop), tmp_path / "out")
    assert data.events.num_rows == 5002
    assert "new" in data.users["user_id"].to_pylist()
    # The amounts of the CSV file; the export is of a version without them.
    assert data.events["amount"].to_pylist()[-3:] == [1.0, None, None]
    assert data.account.lines() == ["events: read from events.csv and the 1 in events/ together"]


@pytest.mark.parametrize("closing", ["", 'u1,a",view,1700000000000,\n' + GOOD])
def test_a_stray_quote_does_not_swallow_half_a_log(shop: Path, tmp_path: Path, closing: str) -> None:
    (shop / "events.csv").write_text(HEADER + GOOD + 'u1,"a,view,1700000000000,\n' + GOOD + closing)
    with pytest.raises(DataError, match=r"Bad rows of the log: 5,00[12] of 1[05],00[12]; up to 1\d would"):
        ingest(str(shop), tmp_path / "out")
