"""User activity from a release's own log: written by publishing, and the starting point of a rebuild.

Every item in the log counts as seen at the time the release was built, however old the event: the data set of the
release decides how far back its log reaches.
"""

from collections.abc import Mapping

import numpy as np

from winnow.bloom.hashing import item_hashes
from winnow.bloom.seen import WINDOW_MS, SeenFilter, window_end
from winnow.bloom.shadow import MAX_ITEMS
from winnow.release import Release
from winnow.store import history
from winnow.store.stored_items import CategoryHashes
from winnow.store.trending import created_ms
from winnow.store.user_activity import UserActivity


class ReleaseLog:
    """The log of a release, by user.

    Args:
        release: the release.
        window_ms: window length of the seen filters, in milliseconds.

    Attributes:
        user_ids: ids of the users of the log, by row.
    """

    def __init__(self, release: Release, window_ms: int = WINDOW_MS) -> None:
        self.user_ids: list[str] = release.array("user_ids").tolist()
        self._item_ids: list[str] = release.array("item_ids").tolist()
        self._hashes = item_hashes(self._item_ids)
        self._offsets: list[int] = release.array("offsets").tolist()
        self._item, self._event, self._timestamp = (
            np.asarray(release.array(name)) for name in ("item", "event", "timestamp")
        )
        self._categorical = release.array("item_rows")["categorical"]
        self._category_hashes = CategoryHashes(release)
        self._seen_ms = created_ms(release.manifest)
        self._window_ms = window_ms

    @property
    def rows(self) -> Mapping[str, int]:
        """Row of each user of the log, by id."""
        return {user_id: row for row, user_id in enumerate(self.user_ids)}

    def activity(self, row: int) -> UserActivity:
        """The activity of the user at ``row``."""
        activity = UserActivity.new(self.user_ids[row])
        first, end = self._offsets[row], self._offsets[row + 1]
        if first == end:
            return activity
        newest = slice(max(first, end - history.KEPT), end)
        events = zip(*(a[newest].tolist() for a in (self._timestamp, self._event, self._item)), strict=True)
        activity.history = [history.encode(when, code, self._item_ids[item]) for when, code, item in events][::-1]
        seen = np.unique(self._item[first:end])
        hashes = [self._hashes[item] for item in seen.tolist()]
        activity.seen = SeenFilter.of(hashes, self._seen_ms, self._window_ms)
        activity.categories.update(self._category_hashes.of(self._categorical[seen]))
        if activity.shadow is not None:
            until = window_end(self._seen_ms, self._window_ms)
            activity.shadow = dict.fromkeys(hashes, until) if len(hashes) <= MAX_ITEMS else None
        return activity
