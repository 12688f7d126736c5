"""Publish a release: write its keys to Redis from the release folder.

The digest of the manifest is written last. A release whose digest is present is complete; an interrupted publication is
repeated from the start.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from winnow.errors import ReleaseMismatch
from winnow.release import Release
from winnow.store import trending
from winnow.store.connection import Client, connect, shown
from winnow.store.keys import Keys
from winnow.store.release_log import ReleaseLog
from winnow.store.user_activity import clear

_CHUNK = 500
"""Keys per pipeline: large enough to amortise the round trip, small enough not to block Redis."""


def publish(release_folder: Path, url: str, show_progress: bool) -> None:
    """Write a release's item rows, user rows, histories, filters, trending list and item counts.

    Does nothing where Redis already holds the release.

    Args:
        release_folder: folder of the release.
        url: address of Redis.
        show_progress: show a progress bar.

    Raises:
        ReleaseMismatch: Redis holds another release under the same number.
    """
    release = Release.open(release_folder)
    manifest = release.manifest
    keys = Keys(manifest.number)
    client = connect(url)
    with client:
        held = published(client, manifest.number)
        if held == release.digest:
            # Versions before 32 hash tags wrote the rows under other keys; all other keys are up to date.
            if not client.exists(keys.item(str(release.array("item_ids")[-1]))):
                for _ in _items(client, release, keys):
                    pass
            return
        if held is not None:
            raise ReleaseMismatch(
                f"{shown(url)} holds a release {manifest.number} with digest {held[:12]}, "
                f"but {release_folder} is {release.digest[:12]}: "
                f"build again to get a new number, or delete the keys r{manifest.number}:* first"
            )
        users = len(release.array("user_ids"))
        items = len(release.array("item_ids")) - 1
        with tqdm(
            total=items + users, desc=f"publish release {manifest.number}", unit="key", disable=not show_progress
        ) as bar:
            for written in _items(client, release, keys):
                bar.update(written)
            for written in _users(client, release, keys):
                bar.update(written)
        pipe = client.pipeline(transaction=False)
        trending.seed(pipe, release)
        pipe.execute()
        popular = np.asarray(release.array("popular"), dtype="<i4")
        client.set(keys.trending, popular.tobytes())
        client.set(keys.manifest, release.digest)


def published(client: Client, number: int) -> str | None:
    """Digest of the manifest of the release that Redis holds under ``number``, or ``None``."""
    held = client.get(Keys(number).manifest)
    return held.decode() if isinstance(held, bytes) else None


def check_published(client: Client, url: str, release: Release) -> None:
    """Check that Redis holds exactly ``release``.

    Raises:
        ReleaseMismatch: Redis holds none or another; the message names both.
    """
    number, digest = release.manifest.number, release.digest
    held = published(client, number)
    if held != digest:
        raise ReleaseMismatch(
            f"{release.folder} is release {number} ({digest[:12]}), but {shown(url)} holds "
            + (f"another release {number} ({held[:12]})" if held else f"no release {number}")
            + ": publish this release there, or serve the release that Redis holds"
        )


def _items(client: Client, release: Release, keys: Keys) -> Iterator[int]:
    ids = release.array("item_ids").tolist()
    rows = release.array("item_rows")
    for start in range(1, len(ids), _CHUNK):
        chunk = ids[start : start + _CHUNK]
        pipe = client.pipeline(transaction=False)
        for index, item_id in enumerate(chunk, start):
            pipe.set(keys.item(item_id), rows[index].tobytes())
        pipe.execute()
        yield len(chunk)


def _users(client: Client, release: Release, keys: Keys) -> Iterator[int]:
    log = ReleaseLog(release)
    rows = release.array("user_rows")
    for start in range(0, len(log.user_ids), _CHUNK):
        chunk = log.user_ids[start : start + _CHUNK]
        pipe = client.pipeline(transaction=False)
        for user, user_id in enumerate(chunk, start):
            pipe.set(keys.user_row(user_id), rows[user].tobytes())
            clear(pipe, keys.release, user_id)
            log.activity(user).write(pipe, keys.release)
        pipe.execute()
        yield len(chunk)
