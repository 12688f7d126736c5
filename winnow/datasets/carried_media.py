"""Images and sounds inside the folder of a data set, for steps that run on other machines than the one that read it."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from winnow.datasets.canonical.dataset import Dataset
from winnow.files import link

MEDIA = "media"
"""The folder of images and sounds in the folder of a data set."""


def with_media(dataset: Dataset, folder: Path) -> Dataset:
    """Put the local images and sounds of the items into a data set's folder.

    Addresses stay as they are. So do the paths of missing files, which the encoders report.

    Args:
        dataset: the data set, with absolute paths or addresses.
        folder: the folder that the data set is saved in.

    Returns:
        The data set with paths relative to the folder, in which each file keeps its own path below ``media/``.
    """
    items = dataset.items
    for column in ("image", "audio"):
        values = items[column].to_pylist()
        carried = {value: _carried(value, folder) for value in set(values) - {None}}
        inside = pa.array([value and carried[value] for value in values], pa.string())
        items = items.set_column(items.column_names.index(column), column, inside)
    return replace(dataset, items=items)


def _carried(value: str, folder: Path) -> str:
    if "://" in value or not Path(value).is_file():
        return value
    # Without "..", which would lead out of the folder; the path is absolute.
    inside = Path(MEDIA, *Path(value).resolve().parts[1:])
    (folder / inside).parent.mkdir(parents=True, exist_ok=True)
    if not (folder / inside).exists():
        link(Path(value), folder / inside)
    return inside.as_posix()
