"""A data set's tables as Spark reads them, in the canonical columns that the log needs.

The layout is that of :mod:`winnow.datasets.readers.tables`, in whatever file system Spark knows: a folder, ``s3a://…``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812  # as Spark's own documentation has it
from pyspark.sql import types as T  # noqa: N812

from winnow.datasets.canonical.columns import EVENT_COLUMNS, IN_WORDS, ITEM_COLUMNS, USER_COLUMNS, Kind
from winnow.datasets.canonical.report import Problem, data_error
from winnow.datasets.canonical.spec import EXAMPLE, FILE, DatasetSpec
from winnow.datasets.readers.layout import ENDINGS
from winnow.errors import DataError, WinnowError

_INTEGERS = (T.ByteType, T.ShortType, T.IntegerType, T.LongType)
_READABLE: dict[Kind, tuple[type[T.DataType], ...]] = {
    "id": (T.StringType, *_INTEGERS),
    "text": (T.StringType,),
    "moment": (T.StringType, *_INTEGERS, T.TimestampType, T.TimestampNTZType, T.DateType),
}


@dataclass(frozen=True)
class SparkTable:
    """One table: the name that people know it by, and its rows, with ``position`` int64 (unique) for their order."""

    file: str
    rows: DataFrame


@dataclass(frozen=True)
class SparkSource:
    """What the log is made from.

    Attributes:
        name: where it was read from.
        spec: its description.
        items: ``item_id`` str, ``position``.
        users: ``user_id`` str, ``position``; none where the source knows users from the log only.
        events: ``user_id``, ``item_id``, ``event`` str, ``timestamp`` int64 ms (null where unreadable), ``position``.
    """

    name: str
    spec: DatasetSpec
    items: SparkTable
    users: SparkTable | None
    events: SparkTable


def read(spark: SparkSession, root: str) -> SparkSource:
    """The tables of a folder; their rows are read when they are asked for.

    Raises:
        WinnowError: the place cannot be reached, or the items or the events are missing.
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
    return SparkSource(root, spec, items, users, events)


def names_in(spark: SparkSession, folder: str) -> list[str]:
    """What lies in a folder of any file system that Spark knows, sorted; nothing where there is no such folder.

    Raises:
        WinnowError: the place cannot be reached.
    """
    context = spark.sparkContext
    with _reading(folder):
        # Hadoop's own listing: a read that fails would leave a stack trace in the log for every place looked at.
        path = context._jvm.org.apache.hadoop.fs.Path(folder)  # type: ignore[union-attr]  # a JVM is there
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
    """The canonical form of a table: one file, or a folder of files of one kind; none where there is neither."""
    beside, inside = names_in(spark, root), names_in(spark, f"{root}/{name}")
    single = [([f"{root}/{name}{ending}"], f"{name}{ending}") for ending in ENDINGS if f"{name}{ending}" in beside]
    several = [([f"{root}/{name}/{file}" for file in inside if file.endswith(e)], f"{name}/") for e in ENDINGS]
    there = [(files, shown) for files, shown in (*single, *several) if files]
    if not there:
        return None
    if len(there) > 1:
        raise DataError(
            f"{root} has {name} in several forms ({', '.join(files[0] for files, _ in there)}), and Spark reads one: "
            "hand it files of one kind in one place, such as the dataset/ that ingestion writes of all of them"
        )
    [(files, shown)] = there
    with _reading(f"{root}/{shown}"):
        found = _open(spark, files)
    wrong = [*_wrong_columns(found, shown, kinds)]
    problems += wrong
    return SparkTable(shown, found if wrong else _in_order(found, kinds))


def _open(spark: SparkSession, files: list[str]) -> DataFrame:
    if files[0].endswith(".parquet"):
        return spark.read.parquet(*files)
    # Values as text, as everywhere in Winnow; a quoted one may hold line ends, so a file is one task's.
    return spark.read.csv(files, header=True, multiLine=True, escape='"', nullValue="")


def _wrong_columns(found: DataFrame, shown: str, kinds: dict[str, Kind]) -> Iterator[Problem]:
    for name, kind in kinds.items():
        if name not in found.columns:
            what = f"the column is missing and is required; the columns are {', '.join(found.columns) or 'none'}"
            yield Problem(shown, name, what)
        elif not isinstance(found.schema[name].dataType, _READABLE[kind]):
            given = found.schema[name].dataType.simpleString()
            yield Problem(shown, name, f"expected {IN_WORDS[kind]}; the column's type is {given}")


def _in_order(found: DataFrame, kinds: dict[str, Kind]) -> DataFrame:
    """The canonical columns and ``position``: by file name, then by place in the file, as a local reader has them."""
    placed = found.select(
        *(_canonical(name, kind, found.schema[name].dataType).alias(name) for name, kind in kinds.items()),
        F.col("_metadata.file_path").alias("file"),
        F.col("_metadata.file_block_start").alias("block"),
        # Counts the rows of a task in its lower 33 bits, and a task reads a block from its start to its end.
        F.monotonically_increasing_id().bitwiseAND((1 << 33) - 1).alias("row"),
    )
    # A row per block (128 MB by default). Spark gives the largest to tasks first, so a task's number says nothing.
    blocks = sorted((row.file, row.block) for row in placed.select("file", "block").distinct().toLocalIterator())
    numbers = found.sparkSession.createDataFrame(
        [(file, block, number << 33) for number, (file, block) in enumerate(blocks)],
        "file string, block long, first long",
    )
    position = (F.col("first") + F.col("row")).alias("position")
    return placed.join(F.broadcast(numbers), ["file", "block"]).select(*kinds, position)


def _canonical(name: str, kind: Kind, given: T.DataType) -> Column:
    if kind != "moment":
        return F.col(name).cast("string")
    if isinstance(given, T.StringType):
        # By try_cast, as a moment that cannot be read is a problem to report and not the end of a task.
        return F.expr(f"coalesce(try_cast({name} AS bigint), unix_millis(try_cast({name} AS timestamp)))")
    if isinstance(given, _INTEGERS):
        return F.col(name).cast("bigint")
    return F.unix_millis(F.col(name).cast("timestamp"))
