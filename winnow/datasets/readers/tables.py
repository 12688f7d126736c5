"""Parquet and CSV from a local folder: ``dataset.yaml`` beside ``items``, ``events``, and further optional tables.

:mod:`winnow.datasets.readers.layout` finds the files. In CSV every value is read as text first, so that an id such as
``007`` keeps its zeros.
"""

from pathlib import Path

from winnow.datasets.canonical.raw import COLUMNS_READ, RawDataset, RawTable
from winnow.datasets.canonical.report import reading
from winnow.datasets.canonical.spec import FILE, DatasetSpec
from winnow.datasets.readers.layout import concerns, layout_of
from winnow.datasets.readers.reading import read_part


def is_tables(folder: Path) -> bool:
    """Whether a local folder has a data set of tables, complete or not."""
    return (folder / FILE).is_file() or any(concerns(path.name) for path in folder.iterdir())


def read_local(folder: Path) -> RawDataset:
    """Read a local folder.

    Raises:
        DataError: ``dataset.yaml`` is missing or broken, a table is missing, or a file cannot be read.
    """
    return read_folder(folder, str(folder), folder.resolve().as_posix())


def read_folder(folder: Path, name: str, root: str) -> RawDataset:
    """Read tables from a local folder, which may be a copy of the data set.

    Args:
        folder: the folder of the files.
        name: name of the data set in the report.
        root: folder or address that relative paths of images and sounds start from.

    Raises:
        DataError: ``dataset.yaml`` is missing or broken, a table is missing, or a file cannot be read.
    """
    spec = DatasetSpec.read(folder / FILE, f"{name.rstrip('/')}/{FILE}")
    with reading(name, str(folder)):
        beside = [path for path in folder.iterdir() if concerns(path.name) or path.name == "catalog"]
        files = [path for one in beside for path in (one.rglob("*") if one.is_dir() else [one]) if path.is_file()]
    found = layout_of((path.relative_to(folder).as_posix() for path in files), name)
    tables = {
        table: RawTable(
            _shown(files),
            tuple(read_part(folder / file, name, file, table == "events", COLUMNS_READ.get(table)) for file in files),
        )
        for table, files in found.files.items()
    }
    return RawDataset(
        name,
        root,
        spec,
        tables["items"],
        tables.get("users"),
        tables["events"],
        tuple(found.notes),
        tables.get("impressions"),
        tables.get("user_changes"),
        tables.get("catalog"),
    )


def _shown(files: list[str]) -> str:
    """The name of a table in the report: its file, its folder, or both."""
    single = [file for file in files if "/" not in file]
    folders = dict.fromkeys(f"{file.partition('/')[0]}/" for file in files if "/" in file)
    return " and ".join([*single, *folders])
