"""Recomputes the features of a release from its source, its log and the event stream."""

import tempfile
from collections import defaultdict
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from redis import Redis

from winnow.arrays.strings import Strings
from winnow.bloom.seen import WINDOW_MS
from winnow.datasets.canonical.dataset import Dataset
from winnow.datasets.ingest import ingest
from winnow.datasets.marketplace import MarketplaceSize
from winnow.errors import WinnowError
from winnow.features.extract import FeatureEncoding, extract
from winnow.feedback.streams import entries
from winnow.items.index import ItemIndex
from winnow.release import Release
from winnow.store import history
from winnow.store.events import Event, entered_ms, event_codes, parse
from winnow.store.history import History
from winnow.store.release_log import ReleaseLog
from winnow.store.user_activity import UserActivity

SETTLING_MS = 2000
"""An event within this time of a recommendation may or may not be part of its features, in milliseconds: it covers the
sidecar's lag and the difference of two clocks."""


class Rows:
    """Item and user rows of a release, extracted again from its source.

    Only the release's items and the events before its build are used, with the release's vocabularies, means and
    scales. A row therefore differs only where the code of a feature or the source itself has changed.

    Args:
        release: the release.
        show_progress: show a progress bar while the demo marketplace is generated.

    Raises:
        WinnowError: the source cannot be read, or its columns or event types differ from the release's.
    """

    def __init__(self, release: Release, show_progress: bool) -> None:
        manifest, schema = release.manifest, release.schema
        source = manifest.source
        size = MarketplaceSize(source.items, source.users, source.events, source.seed)
        with tempfile.TemporaryDirectory(prefix="winnow-skew-") as folder:
            data = ingest(source.data or None, Path(folder) / "dataset", manifest.holdout, size, show_progress)
        encoding = FeatureEncoding(schema, release.vocabularies, manifest.as_of)
        features = extract(_at_build(data, release), {}, encoding)
        if features.schema != schema:
            raise WinnowError(
                f"{source.data or 'the marketplace'} declares other columns or event types than release "
                f"{manifest.number} was built with: its features cannot be recomputed; build a new release"
            )
        self._items = _by_id(features.item_ids, features.item_rows)
        self._users = _by_id(features.user_ids, features.user_rows)
        self._index = {item_id: index for index, item_id in enumerate(release.strings("item_ids"))}
        self._user_index = {user_id: index for index, user_id in enumerate(release.array("user_ids").tolist())}
        self._cold_start: np.void = np.zeros(1, schema.user_dtype)[0]

    def of_release(self, item_id: str) -> bool:
        """Whether the item is part of the release; otherwise it is a new item."""
        return item_id in self._index

    def item(self, item_id: str) -> np.void | None:
        """The row of an item of the release; ``None`` if the source no longer has the item."""
        return _renumbered(self._items.get(item_id), self._index[item_id])

    def user(self, user_id: str) -> np.void | None:
        """The row of a user, zeros for a cold-start user; ``None`` if the source no longer has the user."""
        if user_id not in self._user_index:
            return self._cold_start
        return _renumbered(self._users.get(user_id), self._user_index[user_id])


class Histories:
    """Users' histories at past times, from the release's own log and the event stream.

    Args:
        client: connection to Redis that returns bytes.
        release: the release.
        user_ids: ids of the users whose histories are needed.
    """

    def __init__(self, client: Redis, release: Release, user_ids: Collection[str]) -> None:
        self._log = ReleaseLog(release)
        self._rows = self._log.rows
        self._find = ItemIndex.of(release).find
        self._length = release.manifest.history_length
        self._events: dict[str, list[Event]] = defaultdict(list)
        self._begins_ms: int | None = None
        codes, users = event_codes(release.schema.events), set(user_ids)
        for entry in entries(client):
            self._begins_ms = entered_ms(entry[0]) if self._begins_ms is None else self._begins_ms
            event = parse(entry, codes)
            if event is not None and event.user_id in users:
                self._events[event.user_id].append(event)

    def at(self, user_id: str, moment_ms: int) -> list[History]:
        """The possible histories of a user at ``moment_ms``, the most likely one (every event until then) first."""
        events = self._events[user_id]
        certain = [event for event in events if event.at_ms < moment_ms - SETTLING_MS]
        uncertain = [e for e in events if moment_ms - SETTLING_MS <= e.at_ms <= moment_ms + SETTLING_MS]
        until = sum(event.at_ms <= moment_ms for event in uncertain)
        counts = sorted(range(len(uncertain) + 1), key=lambda count: abs(count - until))
        length = self._length
        return [
            history.decode(self._entries(user_id, [*certain, *uncertain[:count]])[:length], self._find)
            for count in counts
        ]

    def is_lost(self, user_id: str, served: History) -> bool:
        """Whether a served history has a trimmed event: older than the stream and not in the log."""
        known = set(rows(history.decode(self._entries(user_id, self._events[user_id]), self._find)))
        return any(
            event not in known and (self._begins_ms is None or event[2] < self._begins_ms) for event in rows(served)
        )

    def _entries(self, user_id: str, events: Iterable[Event]) -> list[bytes]:
        row = self._rows.get(user_id)
        activity = UserActivity.new(user_id) if row is None else self._log.activity(row)
        activity.apply(events, {}, WINDOW_MS)
        return activity.history


def rows(events: History) -> list[tuple[int, int, int]]:
    """Item index, event type code and timestamp of each event, oldest first."""
    return list(zip(*(column.tolist() for column in events), strict=True))


def _at_build(dataset: Dataset, release: Release) -> Dataset:
    """The data set without items and events that are newer than the release."""
    ids = pa.array(release.strings("item_ids")[1:].tolist())
    items = dataset.items.filter(pc.is_in(dataset.items["item_id"], value_set=ids))
    before = pc.less(dataset.events["timestamp"], release.manifest.as_of)
    return Dataset(dataset.spec, items, dataset.users, dataset.events.filter(before))


def _by_id(ids: NDArray[np.str_] | Strings, rows: NDArray[np.void]) -> dict[str, np.void]:
    return dict(zip(ids.tolist(), rows, strict=True))


def _renumbered(row: np.void | None, index: int) -> np.void | None:
    """The row with the release's index, because the source's order may have changed since the build."""
    if row is not None:
        row["index"] = index
    return row
