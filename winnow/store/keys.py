"""Names of all Redis keys.

On a cluster, all keys of one command, script or transaction must be in one hash slot. The tags in braces ensure this:

- all keys of a user, of releases and of states, share the tag ``{u:USER}``: one pipeline or transaction reads them;
- the keys of a release's live items share the tag ``{fresh}``: one script writes them;
- changes of the catalog share the tag ``{catalog}``: one script appends a change and updates its item;
- the item counts have the tag ``{events}``, the event stream's slot: one script acknowledges and counts an event;
- item rows share 32 tags: a request reads hundreds of rows, those of a slot with one command.

The ledger of erased and merged users and the tombstones are named in :mod:`winnow.erasures`.
"""

from dataclasses import dataclass
from zlib import crc32

from winnow.erasures.digest import digest

EVENTS = "events"
"""Stream of events. The ``events`` model appends to it; every release's sidecars read it as a consumer group."""

TRIMMED = "{events}:trimmed"
"""Id of the last entry trimmed from the event stream (:mod:`winnow.feedback.trim`)."""

IMPRESSIONS = "impressions"
"""Stream of impressions: the answers that were shown, bounded in length (:mod:`winnow.feedback.impressions`)."""

ITEM_TAGS = 32
"""Number of hash tags of the item rows. A cluster reads 500 rows in 3 ms with 32 tags, in 5 ms with 64, and in 14 ms
with a slot per item; fewer tags would distribute the rows unevenly over the nodes."""

EXPORTED = "{impressions}:exported"
"""Id of the last exported entry of the impression stream."""

EXPORT_GROUP = "export"
"""Consumer group of `winnow events export` on both streams."""

SIGNING_KEY = "recommendations:key"
"""String: signs the ids of recommendations (:mod:`recommender_transformer.funnel.pages.signing_key`)."""

EXPORT_LOCK = "{events}:export"
"""String: held by the running export."""

CHANGES = "catalog"
"""Stream: changes of the catalog as they were given, with their media (:mod:`winnow.catalog`). Releases do not own it;
`winnow events export` writes it to files."""

LATEST_CHANGES = "{catalog}:latest"
"""Stream: one entry per changed item, with the id that its latest change has in :data:`CHANGES`."""

CHANGED_MEDIA = "{catalog}:media"
"""Counter: bytes of the images and sounds in :data:`CHANGES`."""

CATALOG_READ = "{catalog}:releases"
"""Hash: published release -> id of the last change that its data contained."""


def overlay(item_id: str) -> str:
    """Hash: what the changes of an item add up to (:class:`winnow.catalog.change.Overlay`)."""
    return f"{{catalog}}:item:{item_id}"


def change_id(given: str) -> str:
    """String: id of the change with this ``change_id``; expires after an hour (:mod:`winnow.catalog.append`)."""
    return f"{{catalog}}:id:{given}"


RULES = "rules"
"""Hash: the live business rules, of every release (:mod:`winnow.store.business.rules`)."""


def event_id(given: str) -> str:
    """String: stream id of the event with this ``event_id``; expires after an hour (:mod:`winnow.feedback.append`)."""
    return f"{{events}}:id:{given}"


def recent(user_id: str) -> str:
    """Sorted set: the user's newest acknowledged events of every release (:mod:`winnow.store.recent_events`)."""
    return f"{{u:{user_id}}}:recent"


def shown(user_id: str) -> str:
    """Sorted set: the items that the user was shown, of every release (:mod:`winnow.store.business.shown`); expires."""
    return f"{{u:{user_id}}}:shown"


USER_CHANGES = "{events}:users"
"""Stream of user changes: attributes, merges and erasures, of every release (:mod:`winnow.users.changes`)."""

USER_CHANGES_TRIMMED = "{events}:users:trimmed"
"""Id of the last entry trimmed from the stream of user changes."""

ERASURES = "{events}:erasures"
"""Hash: digest and moment of an erasure -> JSON of its proof (:mod:`winnow.users.erase`)."""


def attributes(user_id: str) -> str:
    """Hash: column -> JSON of the value that replaces the release's (:mod:`winnow.users.attributes`)."""
    return f"{{u:{user_id}}}:attributes"


def unlogged(user_id: str) -> str:
    """String: the user was erased a minute ago or less, so answers that were computed before are not logged."""
    return f"{{impressions}}:erased:{digest(user_id)}"


@dataclass(frozen=True)
class Keys:
    """The keys of one release.

    Attributes:
        release: number of the release.
    """

    release: int

    @property
    def manifest(self) -> str:
        """String: digest of the manifest. Written last: a release is complete when this key exists."""
        return f"r{self.release}:manifest"

    @property
    def state(self) -> str:
        """String: name of the users' state that the release uses (:class:`StateKeys`)."""
        return f"r{self.release}:state"

    @property
    def publishing(self) -> str:
        """Hash: position of the running publication (:mod:`winnow.store.publish`); absent once it is complete."""
        return f"r{self.release}:publishing"

    @property
    def trending(self) -> str:
        """String: packed int32 item indices, best first (:mod:`winnow.store.trending`)."""
        return f"r{self.release}:trending"

    @property
    def objectives(self) -> str:
        """Hash: event type -> weight that replaces the release's (:mod:`winnow.store.objectives`)."""
        return f"r{self.release}:objectives"

    @property
    def group(self) -> str:
        """Name of the release's consumer group on the event stream."""
        return f"r{self.release}"

    @property
    def live_item_stream(self) -> str:
        """Stream of live items: new, changed and deleted since the release was built. On the wire called ``fresh``."""
        return f"r{self.release}:{{fresh}}:items"

    @property
    def live_item_slots(self) -> str:
        """Hash: id of a new item -> its slot (0, 1, …)."""
        return f"r{self.release}:{{fresh}}:slots"

    @property
    def live_item_entries(self) -> str:
        """Hash: id of a live item -> id of its only entry in the stream."""
        return f"r{self.release}:{{fresh}}:entries"

    @property
    def live_item_versions(self) -> str:
        """Hash: id of a live item -> id of the latest change that its entry contains (:mod:`winnow.catalog`)."""
        return f"r{self.release}:{{fresh}}:versions"

    @property
    def derived(self) -> str:
        """String: id of the last change of the catalog from which the release has derived its live items."""
        return f"r{self.release}:{{fresh}}:derived"

    @property
    def deriver(self) -> str:
        """String: the transformer that derives live items for the release; expires after some seconds."""
        return f"r{self.release}:{{fresh}}:deriver"

    def item(self, item_id: str) -> str:
        """String: packed item row."""
        return f"r{self.release}:{{i:{crc32(item_id.encode()) % ITEM_TAGS}}}:{item_id}"

    def user_row(self, user_id: str) -> str:
        """String: packed user row."""
        return f"r{self.release}:{{u:{user_id}}}:row"

    @property
    def user_changes(self) -> str:
        """String: id of the last user change that the release's rows have; absent before the first."""
        return f"r{self.release}:{{events}}:users"

    @property
    def lists(self) -> str:
        """Hash: progress of the offline lists (:mod:`winnow.retrieval.offline_lists`); absent without lists."""
        return f"r{self.release}:lists"

    def offline_list(self, user_id: str) -> str:
        """String: packed item indices, best first, computed beforehand for the user; expires."""
        return f"r{self.release}:{{u:{user_id}}}:list"

    @property
    def counts(self) -> str:
        """Sorted set: item index -> decayed count (:mod:`winnow.store.trending`)."""
        return f"r{self.release}:{{events}}:counts"

    @property
    def lease(self) -> str:
        """String: the sidecar that may rewrite the trending list; expires after some seconds."""
        return f"r{self.release}:{{events}}:lease"

    @property
    def gap(self) -> str:
        """String: id of the last event that was trimmed before this release read it; absent without a gap."""
        return f"r{self.release}:{{events}}:gap"

    @property
    def rebuilds(self) -> str:
        """Counter: how often the release's filters were rebuilt."""
        return f"r{self.release}:{{events}}:rebuilds"


@dataclass(frozen=True)
class StateKeys:
    """The keys of the users' state that releases share (:mod:`winnow.store.shared_state`).

    Attributes:
        name: name of the state, from :func:`winnow.store.shared_state.state_of`.
    """

    name: str

    def history(self, user_id: str) -> str:
        """List: the user's events, newest first (:mod:`winnow.store.history`)."""
        return f"{self.name}:{{u:{user_id}}}:history"

    def seen(self, user_id: str) -> str:
        """String: the user's seen filter (:mod:`winnow.bloom.seen`)."""
        return f"{self.name}:{{u:{user_id}}}:seen"

    def categories(self, user_id: str) -> str:
        """String: the user's category filter (:mod:`winnow.bloom.categories`)."""
        return f"{self.name}:{{u:{user_id}}}:categories"

    def shadow(self, user_id: str) -> str:
        """Sorted set of a sampled user: item hash -> end of its window (:mod:`winnow.bloom.shadow`)."""
        return f"{self.name}:{{u:{user_id}}}:shadow"

    @property
    def releases(self) -> str:
        """Set: numbers of the published releases that use the state."""
        return f"{self.name}:releases"

    @property
    def filler(self) -> str:
        """String: digest of the release whose publication fills, or has filled, the state."""
        return f"{self.name}:filler"

    @property
    def logged(self) -> str:
        """Hash: the release whose log was published last, and its number of users."""
        return f"{self.name}:logged"

    def log(self, release: int, first: int) -> str:
        """String: packed fingerprints of the logs of a slice of the release's users, beginning with row ``first``."""
        return f"{self.name}:log:{release}:{first}"

    @property
    def lock(self) -> str:
        """String: held by the publication that writes the state."""
        return f"lock:{self.name}"
