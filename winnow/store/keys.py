"""Every Redis key, in one place.

What one command, one script or one transaction reaches lies in one hash slot, so that all of it works on a cluster:

- a user's keys share the tag ``{u:USER}``, those of every release: one pipeline or transaction has them all;
- so do the keys of a release's fresh items, which one script writes;
- the counts of items have the stream's own name for a tag, so that one script acknowledges an event and counts it;
- the items' rows share 32 tags: a request wants hundreds of them, and asks for those of a slot in one command.
"""

from dataclasses import dataclass
from zlib import crc32

EVENTS = "events"
"""Stream of what happened, appended by the ``events`` model; every release's sidecar reads it in its own group."""

TRIMMED = "{events}:trimmed"
"""Id of the last entry that was trimmed from the stream of events; see :mod:`winnow.feedback.trim`."""

IMPRESSIONS = "impressions"
"""Stream of what was shown, bounded."""

ITEM_TAGS = 32
"""Hash tags of the items' rows. 500 of them take a cluster 3 ms with 32 tags, 5 ms with 64, and 14 ms when every item
has a slot of its own; fewer tags would spread them unevenly over the nodes."""

EXPORTED = "{impressions}:exported"
"""Id of the last entry of the stream of impressions that was exported."""

EXPORT_GROUP = "export"
"""The consumer group of `winnow events export`, on both streams."""


def event_id(given: str) -> str:
    """Stream id of the event that the sender calls ``given``; forgotten after an hour (``winnow.feedback.append``)."""
    return f"{{events}}:id:{given}"


def recent(user_id: str) -> str:
    """Sorted set: what the user did a moment ago (see :mod:`winnow.store.recent`), in the slot of the user's keys."""
    return f"{{u:{user_id}}}:recent"


@dataclass(frozen=True)
class Keys:
    """The keys of release ``release``."""

    release: int

    @property
    def manifest(self) -> str:
        """Digest of the manifest; written last, so that its presence says the rest is complete."""
        return f"r{self.release}:manifest"

    @property
    def trending(self) -> str:
        """Packed int32 item indices, best first."""
        return f"r{self.release}:trending"

    @property
    def group(self) -> str:
        """The release's consumer group on the ``events`` stream."""
        return f"r{self.release}"

    @property
    def fresh_items(self) -> str:
        """Stream of the items that came after the release was made."""
        return f"r{self.release}:{{fresh}}:items"

    @property
    def fresh_slots(self) -> str:
        """Hash: id of a fresh item -> its slot (0, 1, …)."""
        return f"r{self.release}:{{fresh}}:slots"

    @property
    def fresh_entries(self) -> str:
        """Hash: id of a fresh item -> its one entry in the stream."""
        return f"r{self.release}:{{fresh}}:entries"

    def item(self, item_id: str) -> str:
        """Packed item row."""
        return f"r{self.release}:{{i:{crc32(item_id.encode()) % ITEM_TAGS}}}:{item_id}"

    def user_row(self, user_id: str) -> str:
        """Packed user row."""
        return f"r{self.release}:{{u:{user_id}}}:row"

    def history(self, user_id: str) -> str:
        """List of events, newest first (see :mod:`winnow.store.history`)."""
        return f"r{self.release}:{{u:{user_id}}}:history"

    def seen(self, user_id: str) -> str:
        """The user's Bloom filter (see :mod:`winnow.bloom.seen`)."""
        return f"r{self.release}:{{u:{user_id}}}:seen"

    def categories(self, user_id: str) -> str:
        """The user's category filter (see :mod:`winnow.bloom.categories`)."""
        return f"r{self.release}:{{u:{user_id}}}:categories"

    def shadow(self, user_id: str) -> str:
        """Sorted set beside a sampled user's seen filter: item hash -> end of its window (see ``filtering.shadow``)."""
        return f"r{self.release}:{{u:{user_id}}}:shadow"

    @property
    def counts(self) -> str:
        """Sorted set: item index -> decayed count (see :mod:`winnow.store.trending`)."""
        return f"r{self.release}:{{events}}:counts"

    @property
    def lease(self) -> str:
        """Held for some seconds by whichever sidecar rewrites the trending list."""
        return f"r{self.release}:{{events}}:lease"

    @property
    def gap(self) -> str:
        """There while the release misses events that were trimmed before its sidecars read them; says which."""
        return f"r{self.release}:{{events}}:gap"

    @property
    def rebuilds(self) -> str:
        """How often the release's filters were rebuilt from the log."""
        return f"r{self.release}:{{events}}:rebuilds"
