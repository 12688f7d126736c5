"""The files of exported changes of the catalog: a table in ``catalog/``, and images and sounds in ``catalog/media/``.

Media files are named after their content, so writing one again after a crash replaces it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from winnow import files
from winnow.catalog.change import MEDIA
from winnow.feedback.export_files import StreamTable
from winnow.store.keys import CHANGES

FOLDER = f"{CHANGES}/media"

SCHEMA = pa.schema(
    [
        ("action", pa.string()),
        ("item_id", pa.string()),
        ("document", pa.string()),
        ("image", pa.string()),
        ("audio", pa.string()),
        ("at", pa.int64()),
        ("release", pa.int64()),
        ("caller", pa.string()),
        ("change_id", pa.string()),
        ("stream_id", pa.string()),
    ]
)


def _row(fields: Mapping[bytes, bytes]) -> dict[str, Any]:
    """The columns of an entry; those of media have the content until :func:`_with_media_in_files`."""
    texts: dict[str, str | None] = {name: fields[name.encode()].decode() for name in ("action", "item_id")}
    texts |= {name: _text(fields.get(name.encode())) for name in ("document", "caller", "change_id")}
    numbers = {name: int(fields[name.encode()]) for name in ("at", "release")}
    return {**texts, **numbers, **{name: fields.get(name.encode()) for name in MEDIA}}


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def _with_media_in_files(folder: str, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row | {name: _stored(folder, row[name]) for name in MEDIA} for row in rows]


def _stored(folder: str, content: bytes | None) -> str | None:
    """Path of the file with the content, relative to the folder of the export."""
    if not content:
        return None
    name = hashlib.sha256(content).hexdigest()
    files.write(files.inside(folder, FOLDER, name), content)
    return f"{FOLDER}/{name}"


CHANGE_TABLE = StreamTable(CHANGES, CHANGES, SCHEMA, _row, _with_media_in_files)
