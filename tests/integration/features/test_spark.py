"""Spark and DuckDB give the same rows: a real local session, the job by spark-submit, and S3 through s3a.

Tolerance: integers, counts and the order of rows are equal; sums of floating-point numbers to 1e-9, relative, because
the engines add in another order (observed: about 1e-15).
"""

import gc
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import boto3
import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from tests.support.paths import ROOT
from winnow.datasets.canonical.dataset import Dataset
from winnow.datasets.ingest import ingest
from winnow.datasets.marketplace import MarketplaceSize
from winnow.errors import DataError, WinnowError
from winnow.features.extract import extract, extract_folder, item_numerics
from winnow.features.numerics import ItemNumerics
from winnow.features.point_in_time import PointInTime
from winnow.features.popularity import SUMS
from winnow.features.spark.job import compute
from winnow.features.table import FeatureSet
from winnow.schema import DAY_MS

JARS = sorted((ROOT / ".tools" / "hadoop-aws").glob("*.jar"))


pytestmark = [
    pytest.mark.skipif(not shutil.which("java"), reason="Spark needs Java 17, which is not on the PATH"),
    # py4j leaves its connections to the garbage collector.
    pytest.mark.filterwarnings(r"ignore:Exception ignored in. <socket\.socket:pytest.PytestUnraisableExceptionWarning"),
]

LATE = 1_700_000_000_000
OLD = 160_000_000_000
"""1975: more than a thousand half-lives of a week before the rest."""

YAML = "name: shop\nevents: {view: 0.1, cart: {value: 0.7, full_amount: 0.3}, buy: 5, hate: -1.5}\n"
ITEMS = pa.table({"item_id": ["late", "tied", "never", "single", "old"], "title": ['a "quoted"\ntitle', *"bcde"]})
EVENTS = [
    ("u2", "late", "view", LATE + 5),
    ("u1", "tied", "view", LATE),
    ("u1", "late", "buy", LATE),
    ("u1", "tied", "cart", LATE),
    ("u1", "tied", "view", LATE),
    ("u3", "tied", "view", LATE),
    ("u2", "single", "buy", LATE + 3 * DAY_MS),
    ("u1", "old", "view", OLD),
    ("u1", "old", "buy", OLD + DAY_MS),
    ("u2", "old", "view", LATE - 1),
    ("u2", "late", "view", LATE + DAY_MS),
    ("u2", "late", "cart", LATE + DAY_MS - 1),
    ("u2", "tied", "hate", LATE + DAY_MS),
    ("u3", "never", "hate", LATE + DAY_MS),
    ("u3", "tied", "cart", LATE + 2 * DAY_MS),
    ("u3", "tied", "cart", LATE + 2 * DAY_MS),
]
AMOUNTS = [0.1, None, 0.2, 7.0, 0.0]
"""Amounts of the events in turn, beginning with the second file: the first is one of before there were amounts."""

CONF = {
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    # So small that several tasks share a file and the tasks' order differs from that of the rows.
    "spark.sql.files.maxPartitionBytes": "20k",
    "spark.sql.files.openCostInBytes": "1k",
}


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    builder = SparkSession.builder.master("local[2]").appName("tests")
    for name, value in CONF.items():
        builder = builder.config(name, value)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        session = builder.getOrCreate()
        yield session
        session.stop()
    # Collects its connections here: a warning in another module's tests would fail them.
    gc.collect()


@pytest.fixture(scope="module")
def marketplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo marketplace, ingested with its last events held out; the log has many row groups."""
    folder = tmp_path_factory.mktemp("home") / "dataset"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("WINNOW_HOME", str(folder.parent))
        data = ingest(None, folder, "last", MarketplaceSize(items=60, users=80, events=6000, seed=7))
    pq.write_table(data.events, folder / "events.parquet", row_group_size=500)
    return folder


def _shop(folder: Path, ending: str, events: list[tuple[str, str, str, int]] = EVENTS) -> Path:
    """A data set of few rows in a folder of several files, the first of them the smallest."""
    (folder / "events").mkdir(parents=True)
    (folder / "dataset.yaml").write_text(YAML)
    write = pq.write_table if ending == "parquet" else pa_csv.write_csv
    write(ITEMS, folder / f"items.{ending}")
    users, items, kinds, times = zip(*events, strict=True)
    log = pa.table({"user_id": users, "item_id": items, "event": kinds, "timestamp": times})
    amounts = pa.array([None, *(AMOUNTS[row % len(AMOUNTS)] for row in range(1, len(events)))], pa.float64())
    for part, (begin, end) in enumerate([(0, 1), (1, 4), (4, len(events))]):
        # Spark reads the files of a folder of CSV by the headings of the first.
        some = log if part == 0 and ending == "parquet" else log.append_column("amount", amounts)
        write(some.slice(begin, end - begin), folder / "events" / f"part-{part}.{ending}")
    return folder


def _assert_same(spark_s: PointInTime, duckdb_s: PointInTime) -> None:
    assert spark_s.log.schema == duckdb_s.log.schema
    order = ["user", "item", "event", "weight", "grade", "timestamp"]
    assert spark_s.log.select(order).equals(duckdb_s.log.select(order))
    keys = [("item", "ascending"), ("timestamp", "ascending")]
    ours, theirs = duckdb_s.popularity.sort_by(keys), spark_s.popularity.sort_by(keys)
    assert theirs.schema == ours.schema
    exact = ["item", "timestamp", "events", "popularity"]
    assert theirs.select(exact).equals(ours.select(exact))
    for name in SUMS:
        np.testing.assert_allclose(theirs[name].to_numpy(), ours[name].to_numpy(), rtol=1e-9, atol=0)


def test_the_marketplace_is_the_same_on_both_engines(spark: SparkSession, marketplace: Path, tmp_path: Path) -> None:
    data = Dataset.load(marketplace)
    counted = compute(spark, str(marketplace), str(tmp_path))
    assert counted.events == data.events.num_rows
    _assert_same(PointInTime.read(str(tmp_path), data), PointInTime.of(data))


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_edge_case_logs_are_the_same_on_both_engines(spark: SparkSession, tmp_path: Path, ending: str) -> None:
    shop = _shop(tmp_path / "shop", ending)
    data = ingest(str(shop), tmp_path / "dataset")
    compute(spark, str(shop), str(tmp_path / "out"))
    theirs, ours = PointInTime.read(str(tmp_path / "out"), data), PointInTime.of(data)
    _assert_same(theirs, ours)
    # For every item: the timestamp of every event, the milliseconds around it, and long after.
    moments = np.unique([time + near for *_, time in EVENTS for near in (-1, 0, 1, 400 * DAY_MS)])
    items = np.repeat(np.arange(6, dtype=np.int32), len(moments))
    asked = items, np.tile(moments, 6)
    numbers = item_numerics(data, theirs.popularity).at(*asked)
    np.testing.assert_allclose(numbers, item_numerics(data, ours.popularity).at(*asked), rtol=1e-6)
    at = dict(zip(zip(items.tolist(), asked[1].tolist(), strict=True), numbers[:, 2], strict=True))
    assert sorted(set(ours.log["grade"].to_pylist())) == pytest.approx([0.0, 1 / 3, 1.0])
    assert (ours.log["weight"].to_numpy() < 0).sum() == 2
    assert at[2, LATE] == at[3, LATE], "an event is not before its own millisecond"
    assert at[2, LATE + 1] > at[1, LATE + 1] > at[3, LATE + 1], "four, one and no events of that millisecond"


def test_one_event_is_enough(spark: SparkSession, tmp_path: Path) -> None:
    shop = _shop(tmp_path / "shop", "parquet", EVENTS[:1])
    data = ingest(str(shop), tmp_path / "dataset")
    compute(spark, str(shop), str(tmp_path / "out"))
    _assert_same(PointInTime.read(str(tmp_path / "out"), data), PointInTime.of(data))


def test_all_contract_violations_are_reported_together(spark: SparkSession, tmp_path: Path) -> None:
    shop = _shop(tmp_path / "shop", "csv")
    (shop / "items.csv").write_text("item_id\nlate\ntied\nlate\n")
    (shop / "events" / "part-9.csv").write_text(
        "user_id,item_id,event,timestamp,amount\nu1,strange,view,1700000000000,1e999\nu1,late,wink,soon,-0.5\n"
        ",late,view,2023-11-14,much\nu1,late,view,1700000000000, 5 \nu1,late,view,1700000000000,nan\n"
    )
    with pytest.raises(DataError) as report:
        compute(spark, str(shop), str(tmp_path / "out"))
    for line in (
        "items.csv, column item_id: the same id in several rows; keep one row for each (2 rows), for example 'late'",
        "events/, column user_id: no value, or not an id: a string or an integer; fill it in or remove the row (1 row)",
        "events/, column timestamp: no value, or not a moment",
        "events/, column event: not declared under events in dataset.yaml, which has view, cart, buy, hate; add it "
        "with its value (1 row), for example 'wink'",
        "events/, column item_id: not in items.csv; add its row there or remove these events (6 rows), for example 's",
        "events/, column amount: expected a finite number (2 rows), for example 'NaN'",
        "events/, column amount: a negative amount; leave unknown amounts empty (1 row), for example '-0.5'",
    ):
        assert line in str(report.value)
    assert not (tmp_path / "out").exists()


def test_missing_inputs_and_existing_outputs_are_named(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere/dataset\.yaml is missing. Correct the path, or write one"):
        compute(spark, str(tmp_path / "nowhere"), str(tmp_path / "out"))
    shop = _shop(tmp_path / "shop", "parquet")
    with pytest.raises(WinnowError, match=r"shop is not empty: it has dataset\.yaml\. Choose another folder"):
        compute(spark, str(shop), str(shop))
    (shop / "items.parquet").unlink()
    with pytest.raises(WinnowError, match=r"has no items table. Looked for items\.parquet, items\.csv, items/"):
        compute(spark, str(shop), str(tmp_path / "out"))
    (shop / "items.parquet").write_text("no parquet at all")
    with pytest.raises(WinnowError, match=r"items\.parquet cannot be read: .*Check the address"):
        compute(spark, str(shop), str(tmp_path / "out"))
    pq.write_table(ITEMS.set_column(0, "item_id", pa.array([1.5] * 5)), shop / "items.parquet")
    with pytest.raises(DataError, match=r"column item_id: expected an id: a string or an integer; .* type is double"):
        compute(spark, str(shop), str(tmp_path / "out"))
    with pytest.raises(WinnowError, match=r"scheme://x cannot be read: .*scheme"):
        compute(spark, "scheme://x", str(tmp_path / "out"))


def _start(arguments: list[str | Path], conf: dict[str, str] = CONF) -> subprocess.CompletedProcess[str]:
    """Run a command that starts a Spark session of its own."""
    flags = " ".join(f"--conf {name}={value}" for name, value in conf.items())
    environment = os.environ | {
        # spark-submit's own Python; a job started as a module uses its own.
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PYSPARK_SUBMIT_ARGS": f"--master local[2] {flags} pyspark-shell",
    }
    return subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=280)


def test_spark_submit_writes_the_input_of_feature_extraction(marketplace: Path, tmp_path: Path) -> None:
    conf = [part for name, value in CONF.items() for part in ("--conf", f"{name}={value}")]
    script = ROOT / "winnow" / "features" / "spark" / "__main__.py"
    # JOB_NAME is what Glue adds.
    options = ["--JOB_NAME", "features", "--data", marketplace, "--output", tmp_path / "out"]
    ended = _start(["spark-submit", "--master", "local[2]", *conf, script, *options])
    assert ended.returncode == 0, ended.stderr
    events = Dataset.load(marketplace).events.num_rows
    assert f"{events:,} events: {tmp_path}/out" in ended.stdout
    data = Dataset.load(marketplace)
    (tmp_path / "encoders" / "embeddings").mkdir(parents=True)
    np.save(tmp_path / "encoders" / "embeddings" / "text.npy", np.ones((60, 4), np.float32))
    extract_folder(marketplace, tmp_path / "encoders", tmp_path / "features", f"{tmp_path}/out")
    theirs, ours = FeatureSet.load(tmp_path / "features"), extract(data, {"text": np.ones((60, 4), np.float32)})
    assert theirs.schema == ours.schema
    assert theirs.vocabularies == ours.vocabularies
    assert theirs.as_of == ours.as_of
    for name in ("item_ids", "user_ids", "user_rows"):
        np.testing.assert_array_equal(getattr(theirs, name), getattr(ours, name))
    for name in ("offsets", "item", "event", "timestamp", "grade"):
        np.testing.assert_array_equal(getattr(theirs.interactions, name), getattr(ours.interactions, name))
    np.testing.assert_array_equal(theirs.item_rows["categorical"], ours.item_rows["categorical"])
    np.testing.assert_allclose(theirs.item_rows["numeric"], ours.item_rows["numeric"], rtol=1e-6)
    trainers = ItemNumerics.load(tmp_path / "features")
    everything = np.arange(61, dtype=np.int32)
    np.testing.assert_array_equal(
        trainers.at(everything, np.full(61, theirs.as_of)), theirs.item_rows["numeric"], "one table, one answer"
    )


def test_a_missing_column_ends_the_job_with_its_name(tmp_path: Path) -> None:
    shop = _shop(tmp_path / "shop", "parquet")
    for part in (shop / "events").iterdir():
        pq.write_table(pq.read_table(part).rename_columns({"timestamp": "time"}), part)
    ended = _start([sys.executable, "-m", "winnow.features.spark", "--data", shop, "--output", tmp_path / "out"])
    assert ended.returncode == DataError.exit_code
    assert "events/, column timestamp: the column is missing and is required; the columns are user_id" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "out").exists()


def test_help_is_printed_and_a_misspelt_option_is_named() -> None:
    module = [sys.executable, "-m", "winnow.features.spark"]
    shown = _start([*module, "--help"])
    assert "spark-submit" in shown.stdout
    assert "--point-in-time" in shown.stdout
    wrong = _start([*module, "--data", "x", "--outptu", "y"])
    assert wrong.returncode == 2
    assert "Missing option '--output'" in wrong.stderr


def test_numbers_of_another_data_set_are_refused(spark: SparkSession, tmp_path: Path) -> None:
    shop, out = _shop(tmp_path / "shop", "parquet"), str(tmp_path / "out")
    data = ingest(str(shop), tmp_path / "dataset")
    with pytest.raises(WinnowError, match="has no complete point-in-time numbers: popularity/_SUCCESS is missing"):
        PointInTime.read(out, data)
    compute(spark, str(shop), out)
    PointInTime.read(out, data)
    with pytest.raises(WinnowError, match="items of other ids or in another order"):
        PointInTime.read(out, replace(data, items=data.items.slice(1)))
    with pytest.raises(WinnowError, match="users of other ids or in another order"):
        PointInTime.read(out, replace(data, users=data.users.take([2, 1, 0])))
    with pytest.raises(WinnowError, match="16 events where the data set has 15"):
        PointInTime.read(out, replace(data, events=data.events.slice(1)))


@pytest.mark.slow
def test_s3_through_s3a(aws: None, tmp_path: Path) -> None:
    if not JARS:
        pytest.skip("s3a needs hadoop-aws in .tools/hadoop-aws: make tools, where Maven is, fetches it")
    shop = _shop(tmp_path / "shop", "parquet")
    data = ingest(str(shop), tmp_path / "dataset")
    client = boto3.client("s3")
    client.create_bucket(Bucket="winnow-features")
    for file in (path for path in shop.rglob("*") if path.is_file()):
        client.upload_file(str(file), "winnow-features", f"data/{file.relative_to(shop)}")
    conf = CONF | {
        "spark.jars": ",".join(map(str, JARS)),
        "spark.hadoop.fs.s3a.endpoint": os.environ["AWS_ENDPOINT_URL"],
        "spark.hadoop.fs.s3a.path.style.access": "true",
    }
    places = ["--data", "s3a://winnow-features/data", "--output", "s3a://winnow-features/out"]
    ended = _start([sys.executable, "-m", "winnow.features.spark", *places], conf)
    assert ended.returncode == 0, ended.stderr
    _assert_same(PointInTime.read("s3://winnow-features/out", data), PointInTime.of(data))
    again = _start([sys.executable, "-m", "winnow.features.spark", *places], conf)
    assert "The output s3a://winnow-features/out is not empty: it has items" in again.stderr
