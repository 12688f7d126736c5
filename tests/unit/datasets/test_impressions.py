"""Impressions are read in the form of the export; what cannot be learned from is left out and counted."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from winnow.datasets.canonical.dataset import IMPRESSIONS, Dataset
from winnow.datasets.ingest import ingest
from winnow.errors import DataError
from winnow.feedback.export_files import IMPRESSION_SCHEMA

START = 1_700_000_000_000


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    (folder / "impressions").mkdir(parents=True)
    (folder / "dataset.yaml").write_text("name: shop\nevents: {view: 1}\n")
    (folder / "items.csv").write_text("item_id\na\nb\nc\n")
    rows = "".join(f"{user},{item},view,{START + n}\n" for n, (user, item) in enumerate(["ua", "ub", "uc", "va", "vb"]))
    (folder / "events.csv").write_text("user_id,item_id,event,timestamp\n" + rows)
    return folder


def item(item_id: Any, position: Any = 0, propensity: Any = 1.0) -> dict[str, Any]:
    return {"item_id": item_id, "position": position, "score": 0.5, "propensity": propensity, "sources": ["retriever"]}


def request(request_id: Any, user_id: Any, timestamp: Any, *items: dict[str, Any]) -> dict[str, Any]:
    return {"request_id": request_id, "user_id": user_id, "release": 1, "timestamp": timestamp, "items": list(items)}


def write(shop: Path, name: str, *requests: dict[str, Any], schema: pa.Schema = IMPRESSION_SCHEMA) -> None:
    pq.write_table(pa.Table.from_pylist(list(requests), schema), shop / "impressions" / name)


def test_an_export_becomes_a_row_per_shown_item_in_order(shop: Path, tmp_path: Path) -> None:
    write(shop, "2-0.parquet", request("r3", "v", START + 9, item("c", 1, 0.25), item("a", 0, 0.5)))
    write(shop, "1-0.parquet", request("r2", "u", START + 5, item("b")), request("r1", "u", START + 5, item("a", 2)))
    data = ingest(str(shop), tmp_path / "out")
    assert data.impressions.schema == IMPRESSIONS
    assert data.impressions.to_pylist() == [
        dict(zip(IMPRESSIONS.names, row, strict=True))
        for row in [
            ("r1", "u", "a", START + 5, 2, 1.0),
            ("r2", "u", "b", START + 5, 0, 1.0),
            ("r3", "v", "a", START + 9, 0, 0.5),
            ("r3", "v", "c", START + 9, 1, 0.25),
        ]
    ]
    assert data.account.lines() == ["impressions/: 4 impressions of an item, in 3 requests"]
    assert Dataset.load(tmp_path / "out").impressions.equals(data.impressions)


def test_a_saved_data_set_can_be_read_again(shop: Path, tmp_path: Path) -> None:
    write(shop, "1-0.parquet", request("r1", "u", START, item("a"), item("b", 1, 0.5)))
    first = ingest(str(shop), tmp_path / "out")
    again = ingest(str(tmp_path / "out"), tmp_path / "again")
    assert again.impressions.num_rows == 2
    assert again.impressions.equals(first.impressions)


def test_a_data_set_without_impressions_has_an_empty_table(shop: Path, tmp_path: Path) -> None:
    data = ingest(str(shop), tmp_path / "out")
    assert data.impressions.equals(IMPRESSIONS.empty_table())
    assert data.account.lines() == []
    write(shop, "1-0.parquet")
    assert ingest(str(shop), tmp_path / "out").impressions.num_rows == 0
    write(shop, "2-0.parquet", request("r1", "u", START))
    assert ingest(str(shop), tmp_path / "out").impressions.num_rows == 0


BAD = [
    (request("x", None, START, item("a"), item("b", 1)), 2, "user_id", "of a request without a user"),
    (request("x", "", START, item("a")), 1, "user_id", "of a request without a user"),
    (request("x", "stranger", START, item("a")), 1, "user_id", "of a user without an event and without a row of users"),
    (request("x", "u", START, item("gone")), 1, "item_id", "not in items.csv, or no longer"),
    (request("x", "u", START, item(None)), 1, "item_id", "no value"),
    (request(None, "u", START, item("a")), 1, "request_id", "no value"),
    (request("x", "u", None, item("a")), 1, "timestamp", "no value"),
    (
        request("x", "u", START // 1000, item("a")),
        1,
        "timestamp",
        "must be milliseconds since the epoch, but looks like seconds",
    ),
    (request("x", "u", START, item("a", -1)), 1, "position", "must be a whole number from 0"),
    (request("x", "u", START, item("a", 2**62)), 1, "position", "must be a whole number from 0"),
    (request("x", "u", START, item("a", None)), 1, "position", "no value"),
    (request("x", "u", START, item("a", 0, 0.0)), 1, "propensity", "must be above 0 and at most 1"),
    (request("x", "u", START, item("a", 0, 1.5)), 1, "propensity", "must be above 0 and at most 1"),
    (request("x", "u", START, item("a", 0, float("nan"))), 1, "propensity", "no value"),
    (request("x", "u", START, item("a", 0, float("inf"))), 1, "propensity", "no value"),
    (request("x", "u", START, item("a")) | {"form": "rank"}, 1, "form", "of a session, of items related to an item"),
    (request("r1", "u", START, item("b")), 1, "request_id", "the same item of the same request again"),
]


@pytest.mark.parametrize(("bad", "count", "column", "said"), BAD)
def test_what_cannot_be_learned_from_is_left_out_and_counted_apart(
    shop: Path, tmp_path: Path, bad: dict[str, Any], count: int, column: str, said: str
) -> None:
    write(shop, "1-0.parquet", request("r1", "u", START, item("b")))
    write(shop, "2-0.parquet", bad)
    data = ingest(str(shop), tmp_path / "out")
    assert data.impressions["item_id"].to_pylist() == ["b"]
    _, heading, reason = data.account.lines()
    assert heading.startswith(f"{count} of {count + 1} impressions of an item are left out")
    assert reason.startswith(f"impressions/, column {column}: {said}")
    report = json.loads((tmp_path / "out/ingest.json").read_text())
    assert (report["rows"], report["quarantined"], report["reasons"]) == (5, 0, [])
    assert (report["impressions"]["rows"], report["impressions"]["quarantined"]) == (count + 1, count)
    [written] = report["impressions"]["reasons"]
    assert (written["file"], written["column"], written["rows"]) == ("impressions/", column, count)


def test_a_second_export_of_the_same_requests_changes_nothing(shop: Path, tmp_path: Path) -> None:
    rows = [request(f"r{n}", "uv"[n % 2], START + n, item("a"), item("b", 1)) for n in range(10)]
    write(shop, "1-0.parquet", *rows)
    once = ingest(str(shop), tmp_path / "once").impressions
    write(shop, "5-0.parquet", *rows[5:])
    twice = ingest(str(shop), tmp_path / "twice")
    assert twice.impressions.equals(once)
    assert twice.account.impressions.quarantined == 10
    # The same id, sent by callers again for other users or at other times, is another request.
    write(shop, "6-0.parquet", request("r0", "v", START, item("a")), request("r0", "u", START + 1, item("a")))
    assert ingest(str(shop), tmp_path / "more").impressions.num_rows == once.num_rows + 2


def test_files_of_other_releases_and_writers_are_read_together(shop: Path, tmp_path: Path) -> None:
    write(shop, "1-0.parquet", request("r1", "u", START, item("a")))
    shown = pa.struct([("propensity", pa.float32()), ("position", pa.int8()), ("item_id", pa.large_string())])
    slim = pa.schema(
        [
            ("timestamp", pa.timestamp("us", "UTC")),
            ("items", pa.large_list(shown)),
            ("user_id", pa.dictionary(pa.int32(), pa.string())),
            ("request_id", pa.large_string()),
            ("added_later", pa.bool_()),
        ]
    )
    write(shop, "2-0.parquet", request("r2", "v", (START + 1) * 1000, item("b", 3, 0.5)), schema=slim)
    nobody = pa.schema([*(field for field in IMPRESSION_SCHEMA if field.name != "user_id"), ("user_id", pa.null())])
    write(shop, "3-0.parquet", request("r3", None, START, item("a")), schema=nobody)
    data = ingest(str(shop), tmp_path / "out")
    assert data.impressions.select(["request_id", "user_id", "item_id", "position", "propensity"]).to_pylist() == [
        {"request_id": "r1", "user_id": "u", "item_id": "a", "position": 0, "propensity": 1.0},
        {"request_id": "r2", "user_id": "v", "item_id": "b", "position": 3, "propensity": 0.5},
    ]
    assert data.account.impressions.quarantined == 1


def without(name: str) -> pa.Schema:
    return pa.schema([field for field in IMPRESSION_SCHEMA if field.name != name])


def with_items(kind: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field("items", kind) if field.name == "items" else field for field in IMPRESSION_SCHEMA])


@pytest.mark.parametrize(
    ("schema", "row", "said"),
    [
        (without("items"), request("r", "u", START), "column items: the column is missing; provide impressions as"),
        (without("user_id"), request("r", "u", START), "column user_id: the column is missing and is required"),
        (
            with_items(pa.list_(pa.struct([("item_id", pa.string()), ("position", pa.int64())]))),
            request("r", "u", START, item("a")),
            "column propensity: the column is missing and is required",
        ),
        (with_items(pa.string()), request("r", "u", START) | {"items": "[]"}, "column items: expected a list"),
    ],
)
def test_a_file_without_a_column_is_refused(
    shop: Path, tmp_path: Path, schema: pa.Schema, row: dict[str, Any], said: str
) -> None:
    write(shop, "1-0.parquet", row, schema=schema)
    with pytest.raises(DataError, match=f"impressions/1-0.parquet, {said}"):
        ingest(str(shop), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_that_cannot_be_read_is_refused_and_other_files_are_ignored(shop: Path, tmp_path: Path) -> None:
    write(shop, "1-0.parquet", request("r1", "u", START, item("a")))
    (shop / "impressions/notes.txt").write_text("x")
    (shop / "impressions/_SUCCESS").write_text("")
    (shop / "impressions.csv").write_text("request_id\n")
    data = ingest(str(shop), tmp_path / "out")
    assert data.impressions.num_rows == 1
    assert "impressions/: only .parquet files are read, not impressions/notes.txt" in data.account.lines()
    assert "impressions.csv is not read" in data.account.lines()
    (shop / "impressions/2-0.parquet").write_text("no parquet")
    with pytest.raises(DataError, match=r"impressions/2-0\.parquet: cannot be read"):
        ingest(str(shop), tmp_path / "out")


def test_the_hold_out_keeps_no_impression_from_its_moment_on(shop: Path, tmp_path: Path) -> None:
    # u's events are at START, +1, +2, of which the last is held out; v has too few for a hold-out.
    rows = [request(f"{user}{n}", user, START + n, item("a")) for user in "uv" for n in range(5)]
    write(shop, "1-0.parquet", *rows)
    data = ingest(str(shop), tmp_path / "out", holdout="last")
    assert data.impressions["request_id"].to_pylist() == ["u0", "v0", "u1", "v1", "v2", "v3", "v4"]
    assert Dataset.load(tmp_path / "out").impressions.num_rows == 7
    assert ingest(str(shop), tmp_path / "all").impressions.num_rows == 10
