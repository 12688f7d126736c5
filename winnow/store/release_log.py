"""User activity from a release's own log: written by publishing, and the starting point of a rebuild.

Every item in the log counts as seen at the time the release was built, however old the event: the data set of the
release decides how far back its log reaches.
"""

from collections.abc import Mapping
from functools import cached_property
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from winnow.bloom import categories, seen
from winnow.bloom.categories import CategoryFilter
from winnow.bloom.seen import WINDOW_MS, SeenFilter, window_end
from winnow.bloom.shadow import MAX_ITEMS, Shadow, sampled
from winnow.erasures.ledger import moment_of
from winnow.items.arrays import hashes_of
from winnow.release import Release
from winnow.store import history
from winnow.store.stored_items import CategoryHashes
from winnow.store.trending import created_ms
from winnow.store.user_activity import UserActivity

_ITEM, _EVENT, _USER = (np.uint64(factor) for factor in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9))
"""Odd factors that keep the parts of a fingerprint apart."""


class ReleaseLog:
    """The log of a release, by user.

    Args:
        release: the release.
        window_ms: window length of the seen filters, in milliseconds.

    Attributes:
        user_ids: ids of the users of the log, by row, memory-mapped.
        seen_ms: when the log's items count as seen, in milliseconds since the epoch.
        known_ms: users that were erased or merged after this moment are still in the log.
        end_s: end of the window in which the log's items count as seen, in seconds since the epoch.
    """

    def __init__(self, release: Release, window_ms: int = WINDOW_MS) -> None:
        self.user_ids = release.array("user_ids")
        self.item_ids = release.strings("item_ids")
        self.hashes = hashes_of(release)
        self.offsets = release.array("offsets")
        self.item, self.event, self.timestamp = (release.array(name) for name in ("item", "event", "timestamp"))
        self.categorical = release.array("item_rows")["categorical"]
        self.category_hashes = CategoryHashes(release)
        self.seen_ms, self.window_ms = created_ms(release.manifest), window_ms
        self.end_s = window_end(self.seen_ms, window_ms)
        self.known_ms = moment_of(release.manifest.user_changes)

    @property
    def rows(self) -> Mapping[str, int]:
        """Row of each user of the log, by id."""
        return {user_id: row for row, user_id in enumerate(self.user_ids.tolist())}

    def users(self, rows: NDArray[np.int64]) -> "LoggedUsers":
        """The users at ``rows``."""
        return LoggedUsers(self, rows)

    def activity(self, row: int) -> UserActivity:
        """The activity of the user at ``row``."""
        return self.users(np.array([row])).activity(0)


class LoggedUsers:
    """A part of a log's users, encoded together.

    Args:
        log: the log.
        rows: int64 [u], rows of the users.

    Attributes:
        user_ids: ids of the users.
    """

    def __init__(self, log: ReleaseLog, rows: NDArray[np.int64]) -> None:
        self._log = log
        self.user_ids: list[str] = log.user_ids[rows].tolist()
        first, end = np.asarray(log.offsets[rows]), np.asarray(log.offsets[rows + 1])
        self._counts = end - first
        self._owner = np.repeat(np.arange(len(rows)), self._counts)
        places = np.arange(len(self._owner)) + np.repeat(first - np.cumsum(self._counts) + self._counts, self._counts)
        self._item, self._event, self._timestamp = (
            np.asarray(column[places]) for column in (log.item, log.event, log.timestamp)
        )

    @cached_property
    def histories(self) -> list[list[bytes]]:
        """The newest entries of each user, newest first (:mod:`winnow.store.history`)."""
        names = self._log.item_ids[self._item].tolist()
        columns = (self._timestamp.tolist(), self._event.tolist(), names)
        entries = [history.encode(*event) for event in zip(*columns, strict=True)]
        ends = np.cumsum(self._counts).tolist()
        starts = (np.cumsum(self._counts) - np.minimum(self._counts, history.KEPT)).tolist()
        return [entries[start:end][::-1] for start, end in zip(starts, ends, strict=True)]

    @cached_property
    def seen(self) -> list[bytes]:
        """The serialised seen filter of each user; empty bytes for one without events."""
        owner, item = self._pairs
        return seen.pack(self._log.hashes.words(item), self._per_user(owner), self._log.end_s)

    @cached_property
    def categories(self) -> list[bytes]:
        """The serialised category filter of each user; empty bytes for one without categories."""
        owner, code = self._touched
        return categories.pack(self._log.category_hashes.table.words(code), self._per_user(owner))

    def add_to(self, activity: UserActivity, user: int) -> UserActivity:
        """Add a user's log to the activity that Redis has of them, and return it.

        The activity may be that of the user whom the log's was merged into. The log of a user who was erased after the
        release's data was read is not added.
        """
        if activity.gone is not None and activity.gone.at_ms > self._log.known_ms:
            return activity
        items, touched = self._item_hashes(user), self._category_hashes(user)
        activity.merge(self.activity(user), items, touched, self._log.seen_ms, self._log.window_ms)
        return activity

    def shadow(self, user: int) -> Shadow | None:
        """The shadow set of a user; ``None`` for one who is not sampled or has too many items."""
        if not sampled(self.user_ids[user]):
            return None
        values = self._item_hashes(user)
        return dict.fromkeys(values, self._log.end_s) if len(values) <= MAX_ITEMS else None

    def _item_hashes(self, user: int) -> list[int]:
        """Hashes of a user's distinct items."""
        return [self._log.hashes[item] for item in self._of(user, self._pairs)]

    def _category_hashes(self, user: int) -> list[int]:
        """Hashes of a user's distinct categories."""
        return [self._log.category_hashes.table[code] for code in self._of(user, self._touched)]

    def activity(self, user: int) -> UserActivity:
        """The activity of a user."""
        activity = UserActivity.new(self.user_ids[user])
        activity.history = self.histories[user]
        if self.seen[user]:
            activity.seen = SeenFilter.from_bytes(self.seen[user])
            activity.shadow = self.shadow(user)
        if self.categories[user]:
            activity.categories = CategoryFilter.from_bytes(self.categories[user])
        return activity

    @cached_property
    def fingerprints(self) -> NDArray[np.uint64]:
        """uint64 [u]: of each user's id, events, touched categories and window; the same in every release."""
        names = b"".join(blake2b(user_id.encode(), digest_size=8).digest() for user_id in self.user_ids)
        event = self._log.hashes.lower(self._item) ^ (self._timestamp.astype(np.uint64) * _ITEM)
        of_events = _mixed(event + self._event.astype(np.uint64) * _EVENT)
        owner, code = self._touched
        total = np.frombuffer(names, "<u8") * _USER + np.uint64(self._log.end_s)
        np.add.at(total, self._owner, of_events)
        np.add.at(total, owner, _mixed(self._log.category_hashes.table.lower(code)))
        return _mixed(total)

    @cached_property
    def _pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The users' distinct items: position of the user, and index of the item."""
        items = len(self._log.item_ids)
        pairs = np.unique(self._owner * items + self._item)
        return pairs // items, pairs % items

    @cached_property
    def _touched(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The users' distinct categories: position of the user, and code of the category."""
        owner, item = self._pairs
        codes = self._log.category_hashes.codes(self._log.categorical[item]).astype(np.int64)
        size = len(self._log.category_hashes.table)
        known = codes > 0
        pairs = np.unique((owner[:, None] * size + codes)[known])
        return pairs // max(size, 1), pairs % max(size, 1)

    def _per_user(self, owner: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.bincount(owner, minlength=len(self.user_ids))

    @staticmethod
    def _of(user: int, pairs: tuple[NDArray[np.int64], NDArray[np.int64]]) -> list[int]:
        first, end = np.searchsorted(pairs[0], [user, user + 1])
        values: list[int] = pairs[1][first:end].tolist()
        return values


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finalizer of SplitMix64: every bit of the input changes half of the output's bits."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
