"""A release's features once more, from its source, its log and the event stream: what serving ought to have served."""

import tempfile
from collections import defaultdict
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from redis import Redis

from winnow.bloom.seen import WINDOW_MS
from winnow.datasets.canonical.dataset import Dataset
from winnow.datasets.ingest import ingest
from winnow.datasets.marketplace import MarketplaceSize
from winnow.errors import WinnowError
from winnow.features.extract import FeatureEncoding, extract
from winnow.feedback.stream import entries
from winnow.release import Release
from winnow.store import history
from winnow.store.events import Event, codes_of, entered, parse
from winnow.store.history import History
from winnow.store.release_log import ReleaseLog
from winnow.store.user_state import State

SETTLING_MS = 2000
"""How long before (or after) an answer an event may have entered the stream without anybody knowing whether the answer
had it: the time that a sidecar takes, and by which two clocks may differ."""


class Rows:
    """Item and user rows of a release, extracted anew from what it was built from.

    Only what the release could know goes in: its items, and events before it was made. Vocabularies, means and scales
    are the release's, so that a row differs where a definition or the source itself has changed, and nowhere else.

    Args:
        release: whose rows.
        show_progress: draw a bar where the demo marketplace must be drawn first.

    Raises:
        WinnowError: the source cannot be read, or declares other columns or event types than the release has.
    """

    def __init__(self, release: Release, show_progress: bool) -> None:
        manifest, schema = release.manifest, release.schema
        source = manifest.source
        size = MarketplaceSize(source.items, source.users, source.events, source.seed)
        with tempfile.TemporaryDirectory(prefix="winnow-skew-") as folder:
            data = ingest(source.data or None, Path(folder) / "dataset", manifest.holdout, size, show_progress)
        known = FeatureEncoding(schema, release.vocabularies, manifest.as_of)
        features = extract(_as_it_was(data, release), {}, known)
        if features.schema != schema:
            raise WinnowError(
                f"{source.data or 'the marketplace'} declares other columns or event types than release "
                f"{manifest.number} was built with: its features cannot be computed again; build a new release"
            )
        self._items = _by_id(features.item_ids, features.item_rows)
        self._users = _by_id(features.user_ids, features.user_rows)
        self._index = {item_id: index for index, item_id in enumerate(release.array("item_ids").tolist())}
        self._place = {user_id: place for place, user_id in enumerate(release.array("user_ids").tolist())}
        self._stranger: np.void = np.zeros(1, schema.user_dtype)[0]

    def of_release(self, item_id: str) -> bool:
        """Whether the release has the item; if not, it came later."""
        return item_id in self._index

    def item(self, item_id: str) -> np.void | None:
        """The row of an item of the release; none where its source has the item no more."""
        return _renumbered(self._items.get(item_id), self._index[item_id])

    def user(self, user_id: str) -> np.void | None:
        """The row of a user (a stranger's where the release knows none); none where the source has the user no more."""
        if user_id not in self._place:
            return self._stranger
        return _renumbered(self._users.get(user_id), self._place[user_id])


class Histories:
    """Users' histories at past moments, from the release's own log and the event stream.

    Args:
        client: connection to Redis, answering bytes.
        release: whose log.
        user_ids: whose histories will be asked for.
    """

    def __init__(self, client: Redis, release: Release, user_ids: Collection[str]) -> None:
        self._log = ReleaseLog(release)
        self._places = self._log.places
        ids = release.array("item_ids").tolist()
        self._index = {item_id.encode(): index for index, item_id in enumerate(ids) if index}
        self._length = release.manifest.history_length
        self._events: dict[str, list[Event]] = defaultdict(list)
        self._begins: int | None = None
        codes, wanted = codes_of(release.schema.events), set(user_ids)
        for entry in entries(client):
            self._begins = entered(entry[0]) if self._begins is None else self._begins
            event = parse(entry, codes)
            if event is not None and event.user_id in wanted:
                self._events[event.user_id].append(event)

    def at(self, user_id: str, moment_ms: int) -> list[History]:
        """The histories that an answer at a moment may have had, the one with every event until then first."""
        events = self._events[user_id]
        sure = [event for event in events if event.at_ms < moment_ms - SETTLING_MS]
        maybe = [e for e in events if moment_ms - SETTLING_MS <= e.at_ms <= moment_ms + SETTLING_MS]
        until = sum(event.at_ms <= moment_ms for event in maybe)
        counts = sorted(range(len(maybe) + 1), key=lambda count: abs(count - until))
        length = self._length
        return [
            history.decode(self._entries(user_id, [*sure, *maybe[:count]])[:length], self._index) for count in counts
        ]

    def is_lost(self, user_id: str, served: History) -> bool:
        """Whether an event of a served history is older than the stream, and in the log neither: it was trimmed."""
        known = set(rows(history.decode(self._entries(user_id, self._events[user_id]), self._index)))
        return any(event not in known and (self._begins is None or event[2] < self._begins) for event in rows(served))

    def _entries(self, user_id: str, events: Iterable[Event]) -> list[bytes]:
        place = self._places.get(user_id)
        state = State.new(user_id) if place is None else self._log.state(place)
        state.apply(events, {}, WINDOW_MS)
        return state.history


def rows(events: History) -> list[tuple[int, int, int]]:
    """Item, event type and time of each event, the oldest first."""
    return list(zip(*(column.tolist() for column in events), strict=True))


def _as_it_was(dataset: Dataset, release: Release) -> Dataset:
    """The data set without the items and events that came after the release."""
    ids = pa.array(release.array("item_ids")[1:].tolist())
    items = dataset.items.filter(pc.is_in(dataset.items["item_id"], value_set=ids))
    before = pc.less(dataset.events["timestamp"], release.manifest.as_of)
    return Dataset(dataset.spec, items, dataset.users, dataset.events.filter(before))


def _by_id(ids: NDArray[np.str_], rows: NDArray[np.void]) -> dict[str, np.void]:
    return dict(zip(ids.tolist(), rows, strict=True))


def _renumbered(row: np.void | None, index: int) -> np.void | None:
    """The row under the release's number: the source may have grown or been sorted otherwise since."""
    if row is not None:
        row["index"] = index
    return row
