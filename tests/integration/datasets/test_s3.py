"""Data sets on S3 and in the Glue catalog, against a real HTTP server that speaks AWS's API."""

import io
import os
import subprocess
import sys
from pathlib import Path

import awswrangler as wr
import boto3
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from winnow.datasets.fingerprint import fingerprint
from winnow.datasets.ingest import ingest
from winnow.errors import DataError, WinnowError
from winnow.feedback.export_files import IMPRESSION_SCHEMA

YAML = "name: shop\nevents: {view: 1, buy: 5}\nitems: {categorical: [tags], numeric: [weight]}\n"
ITEMS = pa.table(
    {
        "item_id": ["007", "b", "c"],
        "image": ["images/a.png", "s3://elsewhere/b.png", None],
        "tags": [["x", "y"], ["x"], None],
        "weight": pa.array([1, None, 3], pa.int64()),
    }
)
EVENTS = pa.table(
    {
        "user_id": ["1", "1", "1", "2"],
        "item_id": ["007", "b", "c", "c"],
        "event": ["view", "buy", "view", "view"],
        "timestamp": [1_700_000_000_000, 1_700_000_001_000, 1_700_000_002_000, 1_700_000_003_000],
        "amount": [1.5, None, 2.0, None],
    }
)

SHOWN = pa.Table.from_pylist(
    [
        {
            "request_id": "r1",
            "user_id": "2",
            "release": 1,
            "timestamp": 1_700_000_002_500,
            "items": [
                {"item_id": "b", "position": 0, "score": 0.5, "propensity": 1.0, "sources": ["retriever"]},
                {"item_id": "007", "position": 1, "score": 0.25, "propensity": 0.5, "sources": []},
            ],
            "degraded": [],
        }
    ],
    IMPRESSION_SCHEMA,
)


@pytest.fixture(scope="module", autouse=True)
def bucket(aws: None) -> None:
    boto3.client("s3").create_bucket(Bucket="winnow-data")


def put(key: str, content: bytes | pa.Table) -> None:
    if not isinstance(content, bytes):
        buffer = io.BytesIO()
        (pq.write_table if key.endswith(".parquet") else pa_csv.write_csv)(content, buffer)
        content = buffer.getvalue()
    boto3.client("s3").put_object(Bucket="winnow-data", Key=key, Body=content)


def test_parquet_on_s3(tmp_path: Path) -> None:
    put("shop/dataset.yaml", YAML.encode())
    put("shop/items.parquet", ITEMS)
    put("shop/events/part-0.parquet", EVENTS.slice(0, 2))
    put("shop/events/part-1.parquet", EVENTS.slice(2))
    data = ingest("s3://winnow-data/shop/", tmp_path / "out", holdout="last")
    assert data.items["item_id"].to_pylist() == ["007", "b", "c"]
    assert data.items["image"].to_pylist() == ["s3://winnow-data/shop/images/a.png", "s3://elsewhere/b.png", None]
    assert data.items["tags"].to_pylist() == [["x", "y"], ["x"], None]
    assert data.items["weight"].to_pylist() == [1.0, None, 3.0]
    assert data.events.to_pydict() == EVENTS.filter(pa.array([True, True, False, True])).to_pydict()
    assert data.users.to_pydict() == {"user_id": ["1", "2"]}
    assert pq.read_table(tmp_path / "out/holdout.parquet")["item_id"].to_pylist() == ["c"]


def test_a_fingerprint_covers_all_objects_below_the_prefix() -> None:
    put("seen/dataset.yaml", YAML.encode())
    put("seen/images/a.png", b"1")
    seen = {fingerprint("s3://winnow-data/seen"), fingerprint("s3://winnow-data/seen/")}
    assert len(seen) == 1
    put("seen/images/a.png", b"2")
    assert len(seen | {fingerprint("s3://winnow-data/seen")}) == 2
    assert fingerprint("s3://winnow-data/see") == ""


def test_csv_on_s3(tmp_path: Path) -> None:
    put("csv/dataset.yaml", b"name: shop\nevents: {view: 1, buy: 5}\n")
    put("csv/items.csv", ITEMS.select(["item_id", "image"]))
    put("csv/events.csv", EVENTS)
    put("csv/users.csv", b"user_id\n1\n2\n3\n")
    data = ingest("s3://winnow-data/csv", tmp_path / "out")
    assert data.items["item_id"].to_pylist() == ["007", "b", "c"]
    assert data.items["image"].to_pylist()[2] is None
    assert data.events.to_pydict() == EVENTS.to_pydict()
    assert data.users["user_id"].to_pylist() == ["1", "2", "3"]


def test_glue_tables(tmp_path: Path) -> None:
    wr.catalog.create_database("shop")
    put("glue/dataset.yaml", YAML.encode())
    for name, table in (("items", ITEMS), ("events", EVENTS), ("impressions", SHOWN)):
        frame = table.to_pandas(types_mapper=pd.ArrowDtype)
        wr.s3.to_parquet(frame, f"s3://winnow-data/glue/{name}/", dataset=True, database="shop", table=name)
    data = ingest("glue://shop", tmp_path / "out")
    assert data.items["image"].to_pylist()[0] == "s3://winnow-data/glue/images/a.png"
    assert data.items["tags"].to_pylist() == [["x", "y"], ["x"], None]
    assert data.events.to_pydict() == EVENTS.to_pydict()
    assert data.impressions["item_id"].to_pylist() == ["b", "007"]
    assert data.impressions["propensity"].to_pylist() == [1.0, 0.5]
    seen = fingerprint("glue://shop")
    assert fingerprint("glue://shop") == seen != fingerprint("glue://nothing")
    put("glue/events/more.parquet", EVENTS)
    assert fingerprint("glue://shop") != seen
    other = pd.DataFrame({"campaign": ["spring"]})
    place = "s3://winnow-data/glue/impressions/"
    wr.s3.to_parquet(other, place, dataset=True, mode="overwrite", database="shop", table="impressions")
    with pytest.raises(DataError, match=r"shop\.impressions, column items: the column is missing; .* rename a table"):
        ingest("glue://shop", tmp_path / "refused")
    with pytest.raises(WinnowError, match="no table events and no table items"):
        ingest("glue://nothing", tmp_path / "out")


def test_errors_on_s3_are_named(tmp_path: Path) -> None:
    put("broken/items.parquet", ITEMS)
    with pytest.raises(DataError, match=r"s3://winnow-data/broken/dataset\.yaml is missing"):
        ingest("s3://winnow-data/broken", tmp_path / "out")
    put("broken/dataset.yaml", YAML.encode())
    with pytest.raises(WinnowError, match="has no events table"):
        ingest("s3://winnow-data/broken", tmp_path / "out")
    put("broken/events.parquet", EVENTS.set_column(1, "item_id", pa.array(["z"] * 4)))
    with pytest.raises(DataError, match=r"events\.parquet, column item_id: not in items\.parquet.*'z'"):
        ingest("s3://winnow-data/broken", tmp_path / "out")
    put("broken/events.parquet", b"no parquet at all")
    with pytest.raises(DataError, match=r"events\.parquet: cannot be read"):
        ingest("s3://winnow-data/broken", tmp_path / "out")
    with pytest.raises(WinnowError, match=r"s3://no-such-bucket/x cannot be reached: .*NoSuchBucket"):
        ingest("s3://no-such-bucket/x", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_prefix_is_read_like_a_folder(tmp_path: Path) -> None:
    put("mixed/dataset.yaml", b"\xef\xbb\xbfname: shop\nevents: {view: 1, buy: 5}\n")
    items = ITEMS.select(["item_id", "image"]).cast(
        pa.schema([("item_id", pa.large_string()), ("image", pa.large_string())])
    )
    put("mixed/items.parquet", items.rename_columns(["Item ID", "Image"]))
    put("mixed/events.parquet", EVENTS.slice(0, 1))
    put("mixed/events/day=1/b.csv", EVENTS.slice(1, 2))
    put("mixed/events/c.parquet", EVENTS.slice(3).append_column("stream_id", pa.array(["1-0"])))
    for key in ("mixed/events/_SUCCESS", "mixed/events/", "mixed/images/a.png", "mixed/items/a.png"):
        put(key, b"")
    data = ingest("s3://winnow-data/mixed", tmp_path / "out")
    assert data.items["image"].to_pylist() == ["s3://winnow-data/mixed/images/a.png", "s3://elsewhere/b.png", None]
    assert sorted(data.events["timestamp"].to_pylist()) == EVENTS["timestamp"].to_pylist()
    assert "events: read from events.parquet and the 2 in events/ together" in data.account.lines()
    put("mixed/events/d.csv", "user_id,item_id,event,timestamp\ncaf\xe9,b,view,1700000000000\n".encode("latin1"))
    with pytest.raises(DataError, match=r"s3://winnow-data/mixed cannot .*\n.*events/d\.csv: line 2 is not UTF-8"):
        ingest("s3://winnow-data/mixed", tmp_path / "out")
    put("mixed/events/e.json", b"{}")
    with pytest.raises(DataError, match=r"events/: only \.parquet and \.csv files .* events/e\.json is neither"):
        ingest("s3://winnow-data/mixed", tmp_path / "out")


def test_s3_on_loopback_is_read_past_the_environments_proxies(tmp_path: Path) -> None:
    put("proxied/items.csv", ITEMS.select(["item_id"]))
    bypassed = ("no_proxy", "NO_PROXY")
    environment = {name: value for name, value in os.environ.items() if name not in bypassed}
    environment |= dict.fromkeys(["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"], "http://127.0.0.1:9")
    refused = subprocess.run(
        [Path(sys.executable).with_name("winnow"), "build", "--data=s3://winnow-data/proxied"],
        env=environment | {"WINNOW_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert refused.returncode == 2, refused.stderr
    assert "s3://winnow-data/proxied/dataset.yaml is missing" in refused.stderr
