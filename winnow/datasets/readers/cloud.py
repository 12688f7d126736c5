"""The same tables on S3 (``s3://bucket/prefix``) and in the Glue catalog (``glue://database``), through awswrangler.

Credentials, region and endpoint are the standard AWS ones (``AWS_ENDPOINT_URL`` and awswrangler's own settings
included). Pictures and sounds stay where they are, as URIs.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from winnow.datasets.canonical.source import Source, SourceTable
from winnow.datasets.canonical.spec import FILE, DatasetSpec
from winnow.datasets.readers.layout import ENDINGS, TABLES, concerns
from winnow.datasets.readers.tables import read_folder
from winnow.errors import WinnowError


def read_s3(uri: str) -> Source:
    """Read ``s3://bucket/prefix``, laid out as a local folder is.

    Raises:
        WinnowError: the place cannot be reached.
        DataError: ``dataset.yaml`` is missing or broken, a table is missing, or a file cannot be read.
    """
    root = uri.rstrip("/")
    with tempfile.TemporaryDirectory(prefix="winnow-") as folder:
        _copy(root, Path(folder))
        return read_folder(Path(folder), uri, root)


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
        spec = _spec(root)
        tables = {name: _table(database, name) for name in present}
    return Source(uri, root, spec, tables["items"], tables.get("users"), tables["events"])


@contextmanager
def _reaching(uri: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise WinnowError(
            f"{uri} cannot be read: {error}. Check the name, the credentials, the region and AWS_ENDPOINT_URL."
        ) from error


def _copy(root: str, folder: Path) -> None:
    """Download ``dataset.yaml`` and the tables of a prefix, for the local reader; pictures and sounds stay there."""
    # Importing awswrangler takes seconds that only those who read from AWS should spend.
    import awswrangler as wr

    with _reaching(root):
        for address in wr.s3.list_objects(f"{root}/"):
            name = address.removeprefix(f"{root}/")
            if name != FILE and (not concerns(name) or name.endswith("/") or ".." in name.split("/")):
                continue
            to = folder / name
            to.parent.mkdir(parents=True, exist_ok=True)
            if name == FILE or name.endswith(ENDINGS):
                wr.s3.download(address, str(to))
            else:
                # Its name alone is what the layout looks at.
                to.touch()


def _spec(root: str) -> DatasetSpec:
    with tempfile.TemporaryDirectory(prefix="winnow-") as folder:
        _copy_one(f"{root}/{FILE}", Path(folder) / FILE)
        return DatasetSpec.read(Path(folder) / FILE, f"{root}/{FILE}")


def _copy_one(address: str, to: Path) -> None:
    """Download an object, if it is there."""
    import awswrangler as wr

    if wr.s3.does_object_exist(address):
        wr.s3.download(address, str(to))


def _table(database: str, name: str) -> SourceTable:
    import awswrangler as wr

    frame = wr.s3.read_parquet_table(name, database=database, dtype_backend="pyarrow")
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    return SourceTable.of(f"{database}.{name}", table)
