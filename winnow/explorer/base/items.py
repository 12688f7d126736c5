"""What a release knows of its items and users, read from memory-mapped arrays: nothing here is O(catalog)."""

import json
from bisect import bisect_left
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from winnow.errors import WinnowError
from winnow.explorer.base.media import Media
from winnow.items.columns import ItemColumns
from winnow.items.index import ItemIndex
from winnow.items.media import ARRAYS, Kind
from winnow.release import Release

_SAMPLED = 200
"""Users among which active ones are searched."""


class OpenedRelease:
    """A release with its lookups.

    Args:
        release: the release.
        home: WINNOW_HOME.

    Attributes:
        number: of the release.
        columns: the values of the catalog's columns.
    """

    def __init__(self, release: Release, home: Path) -> None:
        self.release = release
        self.number = release.manifest.number
        self.columns = ItemColumns.of(release)
        self._index = ItemIndex.of(release)
        self._media = Media(release, home)

    def find(self, item_id: str) -> int:
        """The index of an item; 0 for one that the release does not have."""
        return int(self._index.find([item_id.encode()])[0])

    def find_all(self, item_ids: Sequence[str]) -> NDArray[np.int32]:
        """The index of each item: int32, 0 for one that the release does not have."""
        return self._index.find([item_id.encode() for item_id in item_ids])

    def item_id(self, index: int) -> str:
        """The id of an item."""
        return str(self._ids[index])

    def document(self, item_id: str) -> dict[str, Any]:
        """The item's values, column -> value, as the release was built; empty for an item that it does not have."""
        index = self.find(item_id)
        return self.columns.document(index) if index else {}

    def title(self, item_id: str) -> str:
        """The title of an item; its id where it has none."""
        index = self.find(item_id)
        title = self.columns["title"].value(index) if index and "title" in self.columns.names else None
        return title or item_id

    def kinds_of_media(self, item_id: str) -> list[Kind]:
        """Whether an item seems to have a picture and a sound; :meth:`media` has the last word."""
        index = self.find(item_id)
        return [kind for kind in ARRAYS if index and self._media.names(kind, index)]

    def media(self, kind: Kind, item_id: str) -> Path | None:
        """The file of an item's picture or sound; ``None`` where this machine has none."""
        index = self.find(item_id)
        return self._media.file(kind, index) if index else None

    def users_from(self, prefix: str, most: int) -> list[str]:
        """The first users by id that begin with a prefix, found by a binary search.

        Empty for a release from before the order of its users was recorded.
        """
        order = self._user_order
        if order is None:
            return []
        ids = self._user_ids
        first = bisect_left(range(len(order)), prefix, key=lambda place: str(ids[order[place]]))
        found = (str(ids[order[place]]) for place in range(first, min(first + most, len(order))))
        return [user_id for user_id in found if user_id.startswith(prefix)]

    def active_users(self, most: int) -> list[str]:
        """Users of some activity, from a sample: between the least and the most active ones."""
        count = len(self._user_ids)
        rows = (
            np.unique(np.linspace(0, count - 1, min(count, _SAMPLED)).astype(np.int64)) if count else np.zeros(0, int)
        )
        offsets = np.asarray(self.release.array("offsets"))
        events = offsets.take(rows + 1) - offsets.take(rows) if len(rows) else rows
        rows = rows[np.argsort(events, kind="stable")][np.count_nonzero(events == 0) :]
        ranks = np.linspace(0, len(rows) - 1, most + 2).astype(int)[1:-1] if len(rows) else rows
        return list(dict.fromkeys(str(self._user_ids[row]) for row in rows[ranks]))

    @property
    def users(self) -> int:
        """Number of users."""
        return len(self._user_ids)

    @cached_property
    def profile(self) -> dict[str, Any]:
        """The summary of the data (``profile.json``); empty where the release has none."""
        path = self.release.folder / "profile.json"
        return dict(json.loads(path.read_bytes())) if path.is_file() else {}

    @cached_property
    def _ids(self) -> Any:
        return self.release.strings("item_ids")

    @cached_property
    def _user_ids(self) -> Any:
        return self.release.array("user_ids")

    @cached_property
    def _user_order(self) -> Any:
        has = "user_order.npy" in self.release.manifest.files
        return np.asarray(self.release.array("user_order")) if has else None


class Releases:
    """The releases of a home, opened when they are asked for; the last few stay open.

    Args:
        home: WINNOW_HOME.
    """

    _KEPT = 4

    def __init__(self, home: Path) -> None:
        self._home = home
        self._opened: dict[int, OpenedRelease] = {}

    def open(self, number: int) -> OpenedRelease:
        """A release of the home.

        Raises:
            WinnowError: the home does not have it, or it cannot be read.
        """
        opened = self._opened.pop(number, None)
        if opened is None:
            try:
                opened = OpenedRelease(Release.open(self._home / "releases" / str(number)), self._home)
            except OSError as error:
                raise WinnowError(f"release {number} cannot be read: {error.strerror or error}") from error
        self._opened[number] = opened
        while len(self._opened) > self._KEPT:
            del self._opened[next(iter(self._opened))]
        return opened
