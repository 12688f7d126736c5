"""Tables on S3 (``s3://bucket/prefix``) and in the Glue catalog (``glue://database``).

Credentials, region and endpoint are AWS's standard ones (:mod:`winnow.files`). Images and sounds are not copied: the
items refer to them by URI.
"""

import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path

import pyarrow as pa

from winnow import files
from winnow.datasets.canonical.raw import COLUMNS_READ, RawDataset, RawTable
from winnow.datasets.canonical.spec import FILE, DatasetSpec
from winnow.datasets.readers.layout import ENDINGS, TABLES, concerns
from winnow.datasets.readers.tables import read_folder
from winnow.errors import WinnowError

GLUE = "glue://"


def read_s3(uri: str) -> RawDataset:
    """Read ``s3://bucket/prefix``, which has the layout of a local folder.

    Raises:
        WinnowError: the bucket cannot be reached.
        DataError: ``dataset.yaml`` is missing or broken, a table is missing, or a file cannot be read.
    """
    root = uri.rstrip("/")
    with tempfile.TemporaryDirectory(prefix="winnow-") as folder:
        _copy(root, Path(folder))
        return read_folder(Path(folder), uri, root)


def read_glue(uri: str) -> RawDataset:
    """Read the Parquet tables ``items``, ``events`` and, optionally, the others of a Glue database.

    ``dataset.yaml`` is beside the folder of the items table; relative paths start there, too.

    Raises:
        WinnowError: the database cannot be reached, or has no items or no events.
        DataError: ``dataset.yaml`` is missing or broken.
    """
    # The import takes seconds, which only reading from Glue should spend.
    import awswrangler as wr

    database = uri.removeprefix(GLUE).strip("/")
    with files.reaching(uri):
        present = [name for name in TABLES if wr.catalog.does_table_exist(database, name)]
        missing = sorted({"items", "events"} - set(present))
        if missing:
            raise WinnowError(f"The Glue database {database} has no table {' and no table '.join(missing)}. Add it.")
        root = wr.catalog.get_table_location(database, "items").rstrip("/").rpartition("/")[0]
        spec = _spec(root)
        tables = {name: _table(database, name) for name in present}
    return RawDataset(
        uri,
        root,
        spec,
        tables["items"],
        tables.get("users"),
        tables["events"],
        impressions=tables.get("impressions"),
        user_changes=tables.get("user_changes"),
    )


def glue_tables(uri: str) -> list[tuple[str, str, str]]:
    """Name, version and location of the tables of a Glue database that belong to the data set.

    Raises:
        WinnowError: the database cannot be reached.
    """
    import boto3

    client, found = boto3.client("glue"), []
    with files.reaching(uri):
        for name in TABLES:
            # By its name, for which the account needs no right to list a database.
            with suppress(client.exceptions.EntityNotFoundException):
                found.append(client.get_table(DatabaseName=uri.removeprefix(GLUE).strip("/"), Name=name)["Table"])
    return [
        (table["Name"], str(table.get("VersionId", "")), table["StorageDescriptor"]["Location"].rstrip("/"))
        for table in found
    ]


def _copy(root: str, folder: Path) -> None:
    """Download ``dataset.yaml`` and the tables of a prefix for the local reader."""
    for address in files.walk(root):
        name = address.removeprefix(f"{root}/")
        if name != FILE and (not concerns(name) or name.endswith("/") or ".." in name.split("/")):
            continue
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name == FILE or name.endswith(ENDINGS):
            files.download(address, path)
        else:
            # The layout looks at the name alone.
            path.touch()


def _spec(root: str) -> DatasetSpec:
    address = f"{root}/{FILE}"
    with tempfile.TemporaryDirectory(prefix="winnow-") as folder:
        path = Path(folder) / FILE
        # Where the object is missing, DatasetSpec.read raises the error that shows what to write.
        with suppress(files.FileMissing):
            files.download(address, path)
        return DatasetSpec.read(path, address)


def _table(database: str, name: str) -> RawTable:
    import awswrangler as wr

    read = partial(wr.s3.read_parquet_table, name, database=database, dtype_backend="pyarrow")
    if name in COLUMNS_READ:
        present = wr.catalog.get_table_types(database, name) or {}
        columns = [column for column in present if column in COLUMNS_READ[name]]
        # pandas' metadata of the columns that are not read names types that pandas cannot parse.
        frame = read(columns=columns, pyarrow_additional_kwargs={"ignore_metadata": True})
    else:
        frame = read()
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    return RawTable.of(f"{database}.{name}", table)
