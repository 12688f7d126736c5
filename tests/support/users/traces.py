"""Searches everything that Redis and files hold for the bytes of a user's id and of the user's history."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from winnow.store.connection import Client


def in_redis(client: Client, needles: Sequence[bytes]) -> list[str]:
    """The places where a needle occurs, in the names and in the decoded values of all keys of all nodes."""
    found = []
    for key in client.scan_iter(count=1000):
        texts = [key, *_flat(_value(client, key))]
        found += [f"{key!r}: {needle!r}" for needle in needles if any(needle in text for text in texts)]
    return found


def in_files(folder: Path, needles: Sequence[bytes]) -> list[str]:
    """The places where a needle occurs in the files below a folder: their bytes, and what Parquet and NumPy decode."""
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        texts = [path.name.encode(), path.read_bytes(), *_decoded(path)]
        found += [f"{path}: {needle!r}" for needle in needles if any(needle in text for text in texts)]
    return found


def packed_items(items: Iterable[int]) -> list[bytes]:
    """A sequence of item indices, oldest first and newest first, as the packed formats have it."""
    forth = np.array(list(items), "<i4")
    return [part.astype(kind).tobytes() for part in (forth, forth[::-1]) for kind in ("<i4", "<i8")]


def _value(client: Client, key: bytes) -> Any:
    kind = client.type(key)
    if kind == b"string":
        return client.get(key)
    if kind == b"hash":
        return client.hgetall(key)
    if kind == b"list":
        return client.lrange(key, 0, -1)
    if kind == b"set":
        return client.smembers(key)
    if kind == b"zset":
        return client.zrange(key, 0, -1)
    if kind == b"stream":
        pending = [
            client.xpending_range(key, group["name"], "-", "+", 1000)
            for group in client.xinfo_groups(key)
            if group["pending"]
        ]
        return [client.xrange(key), json.dumps(pending, default=str).encode()]
    # The key has expired since.
    assert kind == b"none", kind
    return None


def _flat(value: Any) -> Iterator[bytes]:
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, dict):
        yield from (text for pair in value.items() for part in pair for text in _flat(part))
    elif isinstance(value, list | tuple | set):
        yield from (text for part in value for text in _flat(part))


def _decoded(path: Path) -> Iterator[bytes]:
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        yield json.dumps(table.to_pylist(), default=_as_text, ensure_ascii=False).encode()
        yield from (column.name.encode() for column in table.schema)
    elif path.suffix == ".npy":
        array = np.load(path, allow_pickle=False)
        if array.dtype.kind == "U":
            yield "\n".join(array.ravel().tolist()).encode()


def _as_text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(pa.scalar(value))
