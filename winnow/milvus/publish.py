"""Publish a release to Milvus: a collection with its items, and at the end the alias that says that it is complete.

Items are written in the order of their indices. So an interrupted publication continues after the items that the
collection holds, and writing some again changes nothing.
"""

import time
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from winnow.errors import ReleaseMismatch, WinnowError
from winnow.milvus.collection import (
    VECTOR,
    alias,
    collection_name,
    index,
    is_searched,
    number_of,
    rows,
    schema,
)
from winnow.milvus.connection import ANSWER_S, connect
from winnow.release import Release

if TYPE_CHECKING:
    from pymilvus import MilvusClient

_BATCH_BYTES = 4 << 20
"""Bytes of vectors per call; a Milvus server refuses messages above 64 MiB."""

_BATCH_ITEMS = 2_000

_WRITE_S = 60.0
"""Time-out of a call that writes or counts items."""

_WAIT_S = 3600.0
"""Time for Milvus to flush, index and load what was written."""

_POLL_S = 0.5


def publish(release_folder: Path, url: str, show_progress: bool) -> None:
    """Write a release's items to Milvus and load them. Does nothing if the release is not searched there.

    A complete collection is only loaded; an incomplete one is continued.

    Args:
        release_folder: folder of the release.
        url: address of Milvus.
        show_progress: show a progress bar.

    Raises:
        ReleaseMismatch: Milvus holds another release under the same number.
        WinnowError: pymilvus is not installed, or Milvus does not answer, fails, or does not become ready in time.
    """
    release = Release.open(release_folder)
    if not is_searched(release):
        return
    name, number = collection_name(release), release.manifest.number
    with connect(url) as client:
        held = published(client, number)
        if held is not None and held != name:
            raise ReleaseMismatch(
                f"Milvus at {url} holds a release {number} with digest {_digest(held)}, but {release_folder} is "
                f"{_digest(name)}: build again to get a new number, or run "
                f"`python -m winnow.milvus --drop={number}` first"
            )
        if held is None:
            _drop(client, [other for other in _collections(client, number) if other != name])
            _fill(client, release, name, show_progress)
            client.create_alias(name, alias(number), timeout=ANSWER_S)
        client.load_collection(name, timeout=_WAIT_S)


def published(client: "MilvusClient", number: int) -> str | None:
    """The complete collection of release ``number``, or ``None``."""
    complete = [name for name in _collections(client, number) if alias(number) in _aliases(client, name)]
    return complete[0] if complete else None


def check_published(client: "MilvusClient", url: str, release: Release) -> None:
    """Check that Milvus holds exactly ``release``, complete and loaded.

    Raises:
        ReleaseMismatch: it holds none, a part of it, or another; the message names both.
    """
    from pymilvus.client.types import LoadState

    name, number = collection_name(release), release.manifest.number
    held = published(client, number)
    if held == name and client.get_load_state(name, timeout=ANSWER_S)["state"] == LoadState.Loaded:
        return
    if held == name:
        state = f"has not loaded its collection {name}"
    elif held is not None:
        state = f"holds another release {number} ({_digest(held)})"
    elif client.has_collection(name, timeout=ANSWER_S):
        state = f"holds only a part of it: {name} was not published to its end"
    else:
        state = f"holds no release {number}"
    raise ReleaseMismatch(
        f"{release.folder} is release {number} ({_digest(name)}), but Milvus at {url} {state}: run "
        f"`python -m winnow.milvus --release-dir={release.folder}`, or serve the release that Milvus holds"
    )


def drop(url: str, number: int) -> list[str]:
    """Drop the collections of release ``number``; returns their names.

    Raises:
        WinnowError: pymilvus is not installed, or Milvus does not answer or fails.
    """
    with connect(url) as client:
        return _drop(client, _collections(client, number))


def drop_others(url: str, numbers: Collection[int]) -> list[str]:
    """Drop the collections of every release but ``numbers``; returns their names.

    Raises:
        WinnowError: pymilvus is not installed, or Milvus does not answer or fails.
    """
    with connect(url) as client:
        found = [(name, number_of(name)) for name in client.list_collections(timeout=ANSWER_S)]
        return _drop(client, [name for name, number in found if number is not None and number not in numbers])


def _collections(client: "MilvusClient", number: int) -> list[str]:
    return [name for name in client.list_collections(timeout=ANSWER_S) if number_of(name) == number]


def _drop(client: "MilvusClient", names: list[str]) -> list[str]:
    for name in names:
        # Milvus refuses to drop a collection that has an alias.
        for its_alias in _aliases(client, name):
            client.drop_alias(its_alias, timeout=ANSWER_S)
        client.drop_collection(name, timeout=ANSWER_S)
    return names


def _fill(client: "MilvusClient", release: Release, name: str, show_progress: bool) -> None:
    """Write the items that the collection lacks, and wait until all of them can be searched."""
    vectors = release.array("item_vectors")
    count, dimension = len(vectors) - 1, vectors.shape[1]
    if not client.has_collection(name, timeout=ANSWER_S):
        fields = schema(client, dimension, release.schema.item[0].width)
        client.create_collection(name, schema=fields, index_params=index(client), timeout=ANSWER_S)
    client.load_collection(name, timeout=_WAIT_S)
    batch = max(1, min(_BATCH_ITEMS, _BATCH_BYTES // (4 * dimension)))
    # An interrupted call may have written a part of its batch, which is written again.
    written = _count(client, name) // batch * batch
    with tqdm(
        total=count,
        initial=written,
        desc=f"publish release {release.manifest.number} to Milvus",
        unit="item",
        disable=not show_progress,
    ) as bar:
        for start in range(written + 1, count + 1, batch):
            end = min(start + batch, count + 1)
            client.upsert(name, rows(release, start, end), timeout=_WRITE_S)
            bar.update(end - start)
    client.flush(name, timeout=_WAIT_S)
    deadline = time.monotonic() + _WAIT_S
    while _count(client, name) != count or client.describe_index(name, VECTOR, timeout=ANSWER_S).get(
        "pending_index_rows", 0
    ):
        if time.monotonic() > deadline:
            raise WinnowError(
                f"Milvus has {_count(client, name)} of the {count} items of {name} after {_WAIT_S:.0f} s, or has not "
                "indexed them: look at its logs, then publish again, which continues"
            )
        time.sleep(_POLL_S)


def _aliases(client: "MilvusClient", name: str) -> list[str]:
    return list(client.list_aliases(name, timeout=ANSWER_S).get("aliases", ()))


def _count(client: "MilvusClient", name: str) -> int:
    [row] = client.query(name, filter="", output_fields=["count(*)"], consistency_level="Strong", timeout=_WRITE_S)
    return int(row["count(*)"])


def _digest(name: str) -> str:
    return name.rpartition("_")[2]
