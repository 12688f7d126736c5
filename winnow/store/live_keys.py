"""The Redis keys that only the event stream writes: what the sidecars keep beside histories and seen filters."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LiveKeys:
    """The keys of release ``release``.

    A user's keys share the hash tag of :class:`~winnow.store.keys.Keys`, so one transaction reaches them all. The
    counts of items have the stream's own name for a tag, so that one script acknowledges an event and counts it.
    """

    release: int

    def categories(self, user_id: str) -> str:
        """The user's category filter (see :mod:`winnow.filtering.categories`)."""
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
    def rebuilds(self) -> str:
        """How often the release's filters were rebuilt from the log."""
        return f"r{self.release}:{{events}}:rebuilds"
