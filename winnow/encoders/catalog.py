"""The content of a catalog for the encoders."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from winnow.encoders.caption import caption
from winnow.encoders.inputs import Modality


@dataclass(frozen=True)
class Contents:
    """Text, and location of image and sound, of every item in the order of ``items.parquet``.

    Empty strings where an item has none.
    """

    item_ids: list[str]
    captions: list[str]
    pictures: list[str]
    sounds: list[str]

    def of(self, modality: Modality) -> list[str]:
        """The content for the encoder of ``modality``."""
        return {"audio": self.sounds, "image": self.pictures, "text": self.captions}[modality]


def read_contents(dataset_folder: Path) -> Contents:
    """Read ``items.parquet``. Relative paths of images and sounds start from the folder, which may have been moved."""
    columns = ["item_id", "title", "category", "description", "image", "audio"]
    items = pq.read_table(dataset_folder / "items.parquet", columns=columns).to_pydict()
    parts = zip(items["title"], items["category"], items["description"], strict=True)
    return Contents(
        item_ids=items["item_id"],
        captions=[caption(*texts) for texts in parts],
        pictures=[_located(uri, dataset_folder) for uri in items["image"]],
        sounds=[_located(uri, dataset_folder) for uri in items["audio"]],
    )


def _located(uri: str | None, folder: Path) -> str:
    if not uri or "://" in uri:
        return uri or ""
    return str(folder / uri)
