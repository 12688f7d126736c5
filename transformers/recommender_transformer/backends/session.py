"""Adds the events of a session to what Redis holds of a user, as if the sidecar had applied them."""

from collections.abc import Sequence

import numpy as np

from recommender_transformer.backends.catalog import Catalog
from recommender_transformer.backends.stored_user import StoredUser
from winnow.bloom.seen import WINDOW_MS
from winnow.release import Release
from winnow.store.events import Event
from winnow.store.stored_items import CategoryHashes, StoredItem
from winnow.store.user_activity import UserActivity


class Sessions:
    """Applies sessions by the code by which the sidecar applies events, so that the two give the same user.

    Args:
        release: the release.
        catalog: gives the categories of items.
    """

    def __init__(self, release: Release, catalog: Catalog) -> None:
        self._catalog = catalog
        self._categories = CategoryHashes(release)
        self._length = release.manifest.history_length

    def applied(self, stored: StoredUser, events: Sequence[Event]) -> StoredUser:
        """What Redis would hold of the user once the events were applied.

        A filter that is malformed stays as it is; the funnel reports it.

        Args:
            stored: what it holds.
            events: events of known items, oldest first.
        """
        if not events:
            return stored
        items = self._items(events)
        try:
            activity = UserActivity.decode("", [stored.seen, stored.categories, None], stored.history, [])
        except ValueError:
            activity = UserActivity.decode("", [None, None, None], stored.history, [])
            activity.apply(events, items, WINDOW_MS)
            return stored._replace(history=activity.history[: self._length])
        activity.apply(events, items, WINDOW_MS)
        seen, categories = activity.packed
        return stored._replace(
            seen=seen or None, categories=categories or None, history=activity.history[: self._length]
        )

    def _items(self, events: Sequence[Event]) -> dict[str, StoredItem]:
        names = list(dict.fromkeys(event.item_id for event in events))
        indices = self._catalog.find([name.encode() for name in names])
        rows = self._catalog.rows.take(np.asarray(indices))
        return {
            name: StoredItem(index, tuple(self._categories.of(row)))
            for name, index, row in zip(names, indices.tolist(), rows["categorical"], strict=True)
        }
