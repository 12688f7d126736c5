"""The result of embedding a catalog: files, and a summary for the console."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from winnow import files
from winnow.embeddings.store import vector_column
from winnow.encoders import media
from winnow.encoders.catalog import Contents
from winnow.encoders.inputs import MODALITIES, Modality
from winnow.errors import WinnowError

ITEMS_FILE = "items.parquet"

_EXAMPLES = 3


@dataclass(frozen=True)
class Extraction:
    """The embeddings of a catalog, by modality with an encoder, and item in the order of the catalog.

    Attributes:
        vectors: float32 [items, D], of unit length; zeros where an item has none.
        digests: digest of the item's content; ``None`` where it has none or the content cannot be read.
        problems: why an item with content has no vector; ``None`` where it has one.
        encoded: number of contents that this run encoded; the others were in the store.
    """

    vectors: dict[str, NDArray[np.float32]]
    digests: dict[str, list[str | None]]
    problems: dict[str, list[str | None]]
    encoded: dict[str, int]


def save(extraction: Extraction, contents: Contents, folder: Path) -> None:
    """Write ``embeddings/{modality}.npy`` and ``items.parquet`` into the encoders' folder.

    Args:
        extraction: the embeddings.
        contents: content of the catalog.
        folder: the encoders' folder; embeddings of a modality without an encoder are removed from it.
    """
    embeddings = folder / "embeddings"
    for path in embeddings.glob("*.npy"):
        if path.stem not in extraction.vectors:
            path.unlink()
    for modality, vectors in extraction.vectors.items():
        buffer = io.BytesIO()
        np.save(buffer, vectors, allow_pickle=False)
        files.write(str(embeddings / f"{modality}.npy"), buffer.getvalue())
    files.write(str(folder / ITEMS_FILE), _parquet(pa.table(_columns(extraction, contents))))


def write_output(extraction: Extraction, contents: Contents, out: str) -> None:
    """Write one Parquet file with a row per item.

    Its columns are ``item_id``, and per modality ``has_{modality}``, ``{modality}_problem`` and ``{modality}_digest``
    as in ``items.parquet``, and with an encoder ``{modality}_vector``, null where the item has none.

    Args:
        extraction: the embeddings.
        contents: content of the catalog.
        out: a path or an ``s3://`` address, ending in ``.parquet``.

    Raises:
        WinnowError: the address has another ending, or cannot be written.
    """
    if not out.endswith(".parquet"):
        raise WinnowError(f"the output {out} must be a file that ends in .parquet")
    columns = _columns(extraction, contents)
    for modality, vectors in extraction.vectors.items():
        columns[f"{modality}_vector"] = vector_column(vectors, _has(extraction, modality))
    files.write(out, _parquet(pa.table(columns)))


def summary(extraction: Extraction, contents: Contents) -> list[str]:
    """A line per modality for the console: items with content, items whose content cannot be used, and why.

    Args:
        extraction: the embeddings.
        contents: content of the catalog.
    """
    return [_line(modality, extraction, contents.of(modality)) for modality in MODALITIES]


def _line(modality: Modality, extraction: Extraction, content: Sequence[str]) -> str:
    given = sum(map(bool, content))
    if not given:
        return f"{modality}: no item has one"
    line = f"{modality}: {given:,} of {len(content):,} items have one"
    if modality in extraction.vectors:
        broken = [problem for problem in extraction.problems[modality] if problem]
        return f"{line}; {len(broken):,} cannot be used: {_first(broken)}" if broken else line
    line += f", and none is used: there is no {modality} encoder"
    # A modality without readable content has no encoder, so its problems are found here.
    return f"{line}: {_first(unread)}" if (unread := _unreadable(modality, content)) else line


def _unreadable(modality: Modality, content: Sequence[str]) -> list[str]:
    """Why the first few images or sounds cannot be read."""
    problems = []
    for location in [] if modality == "text" else list(filter(None, content))[:_EXAMPLES]:
        try:
            media.read(location)
        except media.BrokenMedia as error:
            problems.append(str(error))
    return problems


def _first(problems: Sequence[str]) -> str:
    return "; ".join(problems[:_EXAMPLES])


def _columns(extraction: Extraction, contents: Contents) -> dict[str, pa.Array]:
    columns = {"item_id": pa.array(contents.item_ids, pa.string())}
    for modality in MODALITIES:
        nothing: Sequence[str | None] = [None] * len(contents.item_ids)
        problems: Sequence[str | None] = [
            f"there is no {modality} encoder" if c else None for c in contents.of(modality)
        ]
        columns |= {
            f"has_{modality}": pa.array(_has(extraction, modality) or [False] * len(nothing), pa.bool_()),
            f"{modality}_problem": pa.array(extraction.problems.get(modality, problems), pa.string()),
            f"{modality}_digest": pa.array(extraction.digests.get(modality, nothing), pa.string()),
        }
    return columns


def _has(extraction: Extraction, modality: str) -> list[bool]:
    """Whether each item has a vector; empty where the modality has no encoder."""
    parts = zip(extraction.digests.get(modality, []), extraction.problems.get(modality, []), strict=True)
    return [digest is not None and problem is None for digest, problem in parts]


def _parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()
