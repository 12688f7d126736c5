"""The Spark job: reads a data set's tables and writes the log in index space and the popularity as Parquet."""

from dataclasses import dataclass

import ibis
from pyspark.sql import SparkSession

from winnow.errors import WinnowError
from winnow.features.log import in_index_space, numbered
from winnow.features.point_in_time import ITEMS, LOG, POPULARITY, USERS
from winnow.features.popularity import popularity_after
from winnow.features.spark.checks import Counted, check
from winnow.features.spark.tables import names_in, read


@dataclass(frozen=True)
class _Run:
    """A run of the job: session, Ibis backend and output folder."""

    spark: SparkSession
    engine: ibis.BaseBackend
    output: str

    def write(self, name: str, rows: ibis.Table) -> ibis.Table:
        """Write a table in order, every executor its part; returns the written table, so that it is computed once."""
        place = f"{self.output}/{name}"
        self.spark.sql(self.engine.compile(rows)).write.parquet(place)
        self.spark.read.parquet(place).createOrReplaceTempView(name)
        return self.engine.table(name)


def compute(spark: SparkSession, data: str, output: str) -> Counted:
    """Write what :meth:`winnow.features.point_in_time.PointInTime.read` reads; ``popularity/_SUCCESS`` comes last.

    Args:
        spark: a session; its time zone becomes UTC.
        data: a folder of tables, local, ``s3a://…`` or in another file system of Spark.
        output: a folder likewise, empty or missing.

    Returns:
        The number of events, and the time of the last.

    Raises:
        WinnowError: the data cannot be read, or the output is not empty.
        DataError: the data set violates its contract; nothing was written.
    """
    engine = ibis.pyspark.connect(spark)
    run = _Run(spark, engine, output.rstrip("/"))
    existing = names_in(spark, run.output)
    if existing:
        raise WinnowError(
            f"The output {output} is not empty: it has {existing[0]}. Choose another folder, or empty this one. "
            "Nothing was written."
        )
    source = read(spark, data)
    counted = check(source)
    for name, table in (("given_items", source.items), ("given_events", source.events)):
        table.rows.createOrReplaceTempView(name)
    events = engine.table("given_events")
    if source.users:
        source.users.rows.createOrReplaceTempView("given_users")
        users = engine.table("given_users")
    else:
        # Ordered by their first event, as ingestion does.
        users = events.group_by("user_id").aggregate(position=events.position.min())
    items = run.write(ITEMS, numbered(engine.table("given_items"), "item_id", "item", 1).order_by("item"))
    users = run.write(USERS, numbered(users, "user_id", "user", 0).order_by("user"))
    log = run.write(LOG, in_index_space(events, items, users, source.spec.events))
    run.write(POPULARITY, popularity_after(log, counted.newest).order_by("item", "timestamp"))
    return counted
