"""The point-in-time numbers of a data set, computed by Spark.

Reads a data set's tables (dataset.yaml beside items, events and, optionally, users, as Parquet or CSV) and writes four
tables of Parquet: items, users, log, popularity. Kubeflow's feature extraction takes them by --point-in-time, in place
of computing them in its own process. Rows are the same as DuckDB's, floating-point sums to 1e-9.

Here: python -m winnow.features.spark --data DATA --output OUT (needs Java 17)

With spark-submit: spark-submit winnow/features/spark/__main__.py --data DATA --output OUT

On Kubernetes: eks/manifests/spark-features.yaml

On AWS Glue: this file is the script; winnow, ibis-framework and "sqlglot<29" are additional Python modules; --data and
--output are job parameters.

S3 is s3a://bucket/prefix where hadoop-aws is among Spark's jars, and s3://bucket/prefix on Glue. The session is
configured as any other: by spark-submit's --master and --conf.
"""

import os
import sys
from typing import Annotated

import typer
from pyspark.sql import SparkSession

from winnow.errors import WinnowError
from winnow.features.spark.job import compute

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


# Glue adds arguments of its own. A misspelt option is found all the same: both are required.
@app.command(help=__doc__, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
def run(
    data: Annotated[str, typer.Option(help="Folder of the data set's tables: a path, or s3a://bucket/prefix.")],
    output: Annotated[str, typer.Option(help="Folder to write, empty or not there yet.")],
) -> None:
    """Run the job in the session that there is, or in one of its own."""
    # Workers would take the first python3 of the PATH, which may be another version; an image has its own at one place.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    spark = SparkSession.builder.appName("winnow-features").getOrCreate()
    try:
        counted = compute(spark, data, output)
    except WinnowError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_code) from None
    finally:
        spark.stop()
    typer.echo(f"{counted.events:,} events: {output}")


if __name__ == "__main__":
    try:
        app()
    except SystemExit as end:
        # Glue takes every SystemExit for a failure.
        if end.code:
            raise
