"""The point-in-time numbers of a data set, computed by Spark.

Reads a data set's tables (dataset.yaml beside items, events and, optionally, users, as Parquet or CSV) and writes four
tables of Parquet: items, users, log, popularity. Kubeflow's feature extraction reads them with --point-in-time
instead of computing them in its own process. Rows are the same as DuckDB's, floating-point sums to 1e-9.

On this machine: python -m winnow.features.spark --data DATA --output OUT (needs Java 17)

With spark-submit: spark-submit winnow/features/spark/__main__.py --data DATA --output OUT

On Kubernetes: eks/manifests/spark-features.yaml

On AWS Glue 5.0: this file is the script, and --data and --output are job parameters; eks/glue.tf has the job with its
additional Python modules.

An S3 address is s3a://bucket/prefix where hadoop-aws is among Spark's jars, and s3://bucket/prefix on Glue. The session
is configured by spark-submit's --master and --conf.
"""

import os
import sys
from typing import Annotated

import typer
from pyspark.sql import SparkSession

from winnow.errors import WinnowError
from winnow.features.spark.job import compute

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


# Glue adds arguments of its own. A misspelt option still fails, because both options are required.
@app.command(help=__doc__, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
def run(
    data: Annotated[str, typer.Option(help="Folder of the data set's tables: a path, or s3a://bucket/prefix.")],
    output: Annotated[str, typer.Option(help="Folder to write; it must be empty or missing.")],
) -> None:
    """Run the job in the current session, or in a new one."""
    # Without it workers run the first python3 of the PATH, which may be another version; images set their own.
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
        # Glue reports every SystemExit as a failure.
        if end.code:
            raise
