"""A data set's tables on Spark, in the canonical columns that the log needs.

The layout is that of :mod:`winnow.datasets.readers.tables`, in any file system of Spark: a folder, ``s3a://…``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812  # as Spark's own documentation has it
from pyspark.sql import types as T  # noqa: N812

from winnow.datasets.canonical.columns import (
    EVENT_COLUMNS,
    IN_WORDS,
    ITEM_COLUMNS,
    NO_NUMBER,
    NUMBER,
    USER_COLUMNS,
    Kind,
)
from winnow.datasets.canonical.report import Problem, data_error
from winnow.datasets.canonical.spec import EXAMPLE, FILE, DatasetSpec
from winnow.datasets.readers.layout import ENDINGS
from winnow.errors import DataError, WinnowError

_INTEGERS = (T.ByteType, T.ShortType, T.IntegerType, T.LongType)
_READABLE: dict[Kind, tuple[type[T.DataType], ...]] = {
    "id": (T.StringType, *_INTEGERS),
    "text": (T.StringType,),
    "moment": (T.StringType, *_INTEGERS, T.TimestampType, T.TimestampNTZType, T.DateType),
    "number": (T.StringType, *_INTEGERS, T.FloatType, T.DoubleType, T.DecimalType, T.NullType),
}
_OPTIONAL = "amount"


@dataclass(frozen=True)
class SparkTable:
    """One table: its name in the report, and its rows, ordered by ``position`` int64 (unique)."""

    file: str
    rows: DataFrame


@dataclass(frozen=True)
class SparkDataset:
    """The tables of a data set.

    Attributes:
        name: folder or address of the data set.
        spec: its description.
        items: ``item_id`` str, ``position``.
        users: ``user_id`` str, ``position``; ``None`` where the data set has no users table.
        events: ``user_id``, ``item_id``, ``event`` str, ``timestamp`` int64 ms (null where unreadable), ``amount``
            float64 (null where unknown, NaN where unreadable), ``position``.
    """

    name: str
    spec: DatasetSpec
    items: SparkTable
    users: SparkTable | None
    events: SparkTable


def read(spark: SparkSession, root: str) -> SparkDataset:
    """The tables of a folder; Spark reads their rows when it needs them.

    Raises:
        WinnowError: the folder cannot be reached, or the items or the events are missing.
        DataError: ``dataset.yaml`` is missing or broken, or a column is missing or of the wrong type.
    """
    root = root.rstrip("/")
    spec = _spec(spark, root)
    problems: list[Problem] = []
    items = _table(spark, root, "items", {"item_id": ITEM_COLUMNS["item_id"]}, problems)
    users = _table(spark, root, "users", USER_COLUMNS, problems)
    events = _table(spark, root, "events", EVENT_COLUMNS, problems)
    for name, table in (("items", items), ("events", events)):
        if table is None:
            looked = ", ".join([*(name + ending for ending in ENDINGS), f"{name}/ with such files"])
            raise WinnowError(f"{root} has no {name} table. Looked for {looked}. Put one of them there.")
    if problems:
        raise data_error(root, problems)
    assert items is not None
    assert events is not None
    return SparkDataset(root, spec, items, users, events)


def names_in(spark: SparkSession, folder: str) -> list[str]:
    """The names of a folder's entries in any file system of Spark, sorted; empty where the folder is missing.

    Raises:
        WinnowError: the file system cannot be reached.
    """
    context = spark.sparkContext
    with _reading(folder):
        # Hadoop's listing: a failing read would log a stack trace for every missing path.
        path = context._jvm.org.apache.hadoop.fs.Path(folder)  # type: ignore[union-attr]  # the JVM is running
        files = path.getFileSystem(context._jsc.hadoopConfiguration())
        found = files.listStatus(path) if files.exists(path) else []
        return sorted(status.getPath().getName() for status in found)


def _spec(spark: SparkSession, root: str) -> DatasetSpec:
    if FILE not in names_in(spark, root):
        raise DataError(f"{root}/{FILE} is missing. Correct the path, or write one, for example:\n\n{EXAMPLE}")
    with _reading(root):
        text: str = spark.read.text(f"{root}/{FILE}", wholetext=True).collect()[0][0]
    return DatasetSpec.parse(text, f"{root}/{FILE}")


@contextmanager
def _reading(address: str) -> Iterator[None]:
    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        cause = getattr(error, "java_exception", None) or error
        raise WinnowError(
            f"{address} cannot be read: {str(cause).splitlines()[0]}. Check the address (s3a://bucket/prefix for S3, "
            "with hadoop-aws among Spark's jars), the credentials and the files."
        ) from error


def _table(
    spark: SparkSession, root: str, name: str, kinds: dict[str, Kind], problems: list[Problem]
) -> SparkTable | None:
    """A table in canonical columns: one file, or a folder of files of one kind; ``None`` where it has neither."""
    beside, inside = names_in(spark, root), names_in(spark, f"{root}/{name}")
    single = [([f"{root}/{name}{ending}"], f"{name}{ending}") for ending in ENDINGS if f"{name}{ending}" in beside]
    several = [([f"{root}/{name}/{file}" for file in inside if file.endswith(e)], f"{name}/") for e in ENDINGS]
    candidates = [(files, shown) for files, shown in (*single, *several) if files]
    if not candidates:
        return None
    if len(candidates) > 1:
        raise DataError(
            f"{root} has {name} in several forms ({', '.join(files[0] for files, _ in candidates)}), and Spark reads "
            "one: provide files of one kind in one place, such as the dataset/ folder that ingestion writes"
        )
    [(files, shown)] = candidates
    with _reading(f"{root}/{shown}"):
        found = _open(spark, files)
    wrong = [*_wrong_columns(found, shown, kinds)]
    problems += wrong
    return SparkTable(shown, found if wrong else _in_order(found, kinds))


def _open(spark: SparkSession, files: list[str]) -> DataFrame:
    if files[0].endswith(".parquet"):
        # Merged: exports have the column amount since it exists, and older ones beside them have not.
        return spark.read.parquet(*files, mergeSchema=True)
    # Values as text, like the local readers; quoted values may have line ends, so one task reads a file.
    return spark.read.csv(files, header=True, multiLine=True, escape='"', nullValue="")


def _wrong_columns(found: DataFrame, shown: str, kinds: dict[str, Kind]) -> Iterator[Problem]:
    for name, kind in kinds.items():
        if name not in found.columns:
            if name != _OPTIONAL:
                what = f"the column is missing and is required; the columns are {', '.join(found.columns) or 'none'}"
                yield Problem(shown, name, what)
        elif not isinstance(found.schema[name].dataType, _READABLE[kind]):
            given = found.schema[name].dataType.simpleString()
            yield Problem(shown, name, f"expected {IN_WORDS[kind]}; the column's type is {given}")


def _in_order(found: DataFrame, kinds: dict[str, Kind]) -> DataFrame:
    """The canonical columns and ``position``: by file name, then by position in the file, like a local reader."""
    placed = found.select(
        *(
            _canonical(name, kind, found.schema[name].dataType).alias(name)
            if name in found.columns
            else F.lit(None).cast("double").alias(name)
            for name, kind in kinds.items()
        ),
        F.col("_metadata.file_path").alias("file"),
        F.col("_metadata.file_block_start").alias("block"),
        # The lower 33 bits count the rows of a task, which reads a block from start to end.
        F.monotonically_increasing_id().bitwiseAND((1 << 33) - 1).alias("row"),
    )
    # A row per block (128 MB by default). Spark schedules large blocks first, so task numbers have no order.
    blocks = sorted((row.file, row.block) for row in placed.select("file", "block").distinct().toLocalIterator())
    numbers = found.sparkSession.createDataFrame(
        [(file, block, number << 33) for number, (file, block) in enumerate(blocks)],
        "file string, block long, first long",
    )
    position = (F.col("first") + F.col("row")).alias("position")
    return placed.join(F.broadcast(numbers), ["file", "block"]).select(*kinds, position)


def _canonical(name: str, kind: Kind, given: T.DataType) -> Column:
    if kind == "number":
        return _number(name, given)
    if kind != "moment":
        return F.col(name).cast("string")
    if isinstance(given, T.StringType):
        # try_cast, so that an unreadable moment is reported and does not fail the task.
        return F.expr(f"coalesce(try_cast({name} AS bigint), unix_millis(try_cast({name} AS timestamp)))")
    if isinstance(given, _INTEGERS):
        return F.col(name).cast("bigint")
    return F.unix_millis(F.col(name).cast("timestamp"))


def _number(name: str, given: T.DataType) -> Column:
    """A number as double: null where there is none, NaN where it cannot be read, which the checks refuse."""
    if isinstance(given, T.StringType):
        text = F.col(name)
        absent = text.isNull() | text.rlike(NO_NUMBER)
        number = F.when(text.rlike(NUMBER), F.expr(f"try_cast(trim({name}) AS double)"))
        return F.when(~absent, F.coalesce(number, F.lit(float("nan"))))
    return F.nanvl(F.col(name).cast("double"), F.lit(None).cast("double"))
