"""Parquet and CSV from a local folder.

A data set is ``dataset.yaml`` beside ``items``, ``events`` and, optionally, ``users``; each is ``NAME.parquet``,
``NAME.csv`` or a folder ``NAME/`` of files of one of the two kinds. In CSV every value is read as text first, so that
an id such as ``007`` keeps its zeros.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from winnow.datasets.report import Problem, data_error
from winnow.datasets.source import Source, SourceTable
from winnow.datasets.spec import FILE, DatasetSpec
from winnow.errors import WinnowError

TABLES = ("items", "users", "events")
ENDINGS = (".parquet", ".csv")


def is_tables(folder: Path) -> bool:
    """Whether a local folder looks like a data set of tables, be it an incomplete one."""
    return (folder / FILE).is_file() or any(_files(folder, name) for name in TABLES)


def read_local(folder: Path) -> Source:
    """Read a local folder.

    Raises:
        WinnowError: the items or the events are missing; the message says what was looked for.
        DataError: ``dataset.yaml`` is missing or broken, or a file cannot be read.
    """
    spec = DatasetSpec.read(folder / FILE)
    tables = {name: table for name in TABLES if (table := _table(folder, name))}
    return from_tables(str(folder), folder.resolve().as_posix(), spec, tables)


def from_tables(name: str, root: str, spec: DatasetSpec, tables: dict[str, SourceTable]) -> Source:
    """A source from the tables that were found; relative ``image`` and ``audio`` paths are meant from ``root``.

    Raises:
        WinnowError: the items or the events are missing.
    """
    for needed in ("items", "events"):
        if needed not in tables:
            looked = ", ".join([*(needed + ending for ending in ENDINGS), f"{needed}/ with such files"])
            raise WinnowError(f"{name} has no {needed} table. Looked for {looked}. Put one of them there.")
    items = tables["items"]
    resolved = SourceTable(items.file, _with_absolute_media(items.table, root))
    return Source(name, spec, resolved, tables.get("users"), tables["events"])


def _with_absolute_media(items: pa.Table, root: str) -> pa.Table:
    for name in ("image", "audio"):
        if name in items.column_names and pa.types.is_string(items[name].type):
            path = items[name]
            absolute = pc.match_substring_regex(path, r"^(/|[a-z][a-z0-9+.-]*://)")
            joined = pc.binary_join_element_wise(root.rstrip("/"), path, "/")
            items = items.set_column(items.column_names.index(name), name, pc.if_else(absolute, path, joined))
    return items


def _files(folder: Path, name: str) -> list[Path]:
    """The files of one table: one file, or a folder of files of one kind."""
    single = [folder / f"{name}{ending}" for ending in ENDINGS]
    several = [sorted((folder / name).glob(f"*{ending}")) for ending in ENDINGS]
    return next((files for files in [*([path] for path in single if path.is_file()), *several] if files), [])


def _table(folder: Path, name: str) -> SourceTable | None:
    files = _files(folder, name)
    if not files:
        return None
    shown = files[0].name if files[0].parent == folder else f"{name}/"
    try:
        parts = [pq.read_table(path) if path.suffix == ".parquet" else read_csv(path) for path in files]
        return SourceTable(shown, pa.concat_tables(parts, promote_options="permissive"))
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise data_error(str(folder), [Problem(shown, None, f"cannot be read; write it again: {error}")]) from error


def read_csv(path: Path) -> pa.Table:
    """A CSV file, every value as text; an empty one is null."""
    with path.open("rb") as stream:
        names = pa_csv.open_csv(stream).schema.names
    as_text = pa_csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""]
    )
    return pa_csv.read_csv(path, parse_options=pa_csv.ParseOptions(newlines_in_values=True), convert_options=as_text)
