"""The states of users as a release's own log has them: what publishing writes and rebuilding starts from.

The whole log counts as met when the release was made, whatever its age: an old log says no less about its users than a
new one, and how far back it reaches is for whoever builds the release to decide.
"""

from collections.abc import Mapping

import numpy as np

from winnow.bloom.hashing import item_hashes
from winnow.bloom.seen import WINDOW_MS, SeenFilter, window_end
from winnow.bloom.shadow import MOST
from winnow.release import Release
from winnow.store import history
from winnow.store.item_rows import RowReader
from winnow.store.trending import created_ms
from winnow.store.user_state import State


class ReleaseLog:
    """A release's log, user by user.

    Args:
        release: whose log.
        window_ms: length of the seen filters' windows.
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
        self._reader = RowReader(release)
        self._met_ms = created_ms(release.manifest)
        self._window_ms = window_ms

    @property
    def places(self) -> Mapping[str, int]:
        """Place of each user in the log by id."""
        return {user_id: place for place, user_id in enumerate(self.user_ids)}

    def state(self, place: int) -> State:
        """The state of the user at ``place``."""
        state = State.new(self.user_ids[place])
        first, end = self._offsets[place], self._offsets[place + 1]
        if first == end:
            return state
        newest = slice(max(first, end - history.KEPT), end)
        rows = zip(*(a[newest].tolist() for a in (self._timestamp, self._event, self._item)), strict=True)
        state.history = [history.encode(when, kind, self._item_ids[item]) for when, kind, item in rows][::-1]
        met = np.unique(self._item[first:end])
        hashes = [self._hashes[item] for item in met.tolist()]
        state.seen = SeenFilter.of(hashes, self._met_ms, self._window_ms)
        state.categories.update(self._reader.categories(self._categorical[met]))
        if state.shadow is not None:
            until = window_end(self._met_ms, self._window_ms)
            state.shadow = dict.fromkeys(hashes, until) if len(hashes) <= MOST else None
        return state
