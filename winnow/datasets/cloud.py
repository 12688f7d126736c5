"""The same tables on S3 (``s3://bucket/prefix``) and in the Glue catalog (``glue://database``), through awswrangler.

Credentials, region and endpoint are the standard AWS ones (``AWS_ENDPOINT_URL`` and awswrangler's own settings
included). Pictures and sounds stay where they are, as URIs.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa

from winnow.datasets.report import Problem, data_error
from winnow.datasets.source import Source, SourceTable
from winnow.datasets.spec import EXAMPLE, FILE, DatasetSpec
from winnow.datasets.tables import ENDINGS, TABLES, from_tables
from winnow.errors import DataError, WinnowError

if TYPE_CHECKING:
    import pandas as pd


def read_s3(uri: str) -> Source:
    """Read ``s3://bucket/prefix``, laid out as a local folder is.

    Raises:
        WinnowError: the place cannot be reached, or the items or the events are missing.
        DataError: ``dataset.yaml`` is missing or broken, or a file cannot be read.
    """
    # Importing awswrangler takes seconds that only those who read from AWS should spend.
    import awswrangler as wr

    root = uri.rstrip("/")
    with _reaching(uri):
        found = set(wr.s3.list_objects(f"{root}/"))
        spec = _spec(root, found)
        tables = {}
        for name in TABLES:
            files = _files(root, name, found)
            if files:
                shown = files[0].removeprefix(f"{root}/") if files[0].count("/") == root.count("/") + 1 else f"{name}/"
                tables[name] = _table(root, shown, files)
    return from_tables(uri, root, spec, tables)


def read_glue(uri: str) -> Source:
    """Read the Parquet tables ``items``, ``events`` and, optionally, ``users`` of ``glue://database``.

    ``dataset.yaml`` is expected beside the folder of the items table; relative paths are meant from there, too.

    Raises:
        WinnowError: the database cannot be reached, or has no items or no events.
        DataError: ``dataset.yaml`` is missing or broken.
    """
    import awswrangler as wr

    database = uri.removeprefix("glue://").strip("/")
    with _reaching(uri):
        present = [name for name in TABLES if wr.catalog.does_table_exist(database, name)]
        missing = sorted({"items", "events"} - set(present))
        if missing:
            raise WinnowError(f"The Glue database {database} has no table {' and no table '.join(missing)}. Add it.")
        root = wr.catalog.get_table_location(database, "items").rstrip("/").rpartition("/")[0]
        spec = _spec(root, set(wr.s3.list_objects(f"{root}/{FILE}")))
        tables = {
            name: _to_arrow(
                f"{database}.{name}", wr.s3.read_parquet_table(name, database=database, dtype_backend="pyarrow")
            )
            for name in present
        }
    return from_tables(uri, root, spec, tables)


@contextmanager
def _reaching(uri: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise WinnowError(
            f"{uri} cannot be read: {error}. Check the name, the credentials, the region and AWS_ENDPOINT_URL."
        ) from error


def _spec(root: str, found: set[str]) -> DatasetSpec:
    import awswrangler as wr

    if f"{root}/{FILE}" not in found:
        raise DataError(f"{root}/{FILE} is missing. Write one, for example:\n\n{EXAMPLE}")
    content = io.BytesIO()
    wr.s3.download(f"{root}/{FILE}", content)
    return DatasetSpec.parse(content.getvalue().decode(), f"{root}/{FILE}")


def _files(root: str, name: str, found: set[str]) -> list[str]:
    single = [[f"{root}/{name}{ending}"] for ending in ENDINGS if f"{root}/{name}{ending}" in found]
    inside = sorted(path for path in found if path.startswith(f"{root}/{name}/"))
    several = [[path for path in inside if path.endswith(ending)] for ending in ENDINGS]
    return next((files for files in [*single, *several] if files), [])


def _table(root: str, shown: str, files: list[str]) -> SourceTable:
    import awswrangler as wr

    try:
        if files[0].endswith(".parquet"):
            return _to_arrow(shown, wr.s3.read_parquet(files, dtype_backend="pyarrow"))
        return _to_arrow(
            shown,
            wr.s3.read_csv(files, dtype="string[pyarrow]", keep_default_na=False, na_values=[""]),
        )
    except (pa.ArrowInvalid, pa.ArrowTypeError, ValueError) as error:
        raise data_error(root, [Problem(shown, None, f"cannot be read; write it again: {error}")]) from error


def _to_arrow(shown: str, frame: "pd.DataFrame") -> SourceTable:
    return SourceTable(shown, pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None))
