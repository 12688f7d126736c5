"""Merge a user into another: one person with two ids, such as a visitor who signs in.

Histories and filters are united. Attributes of the other win, where it has them. From the beginning of the merge on,
sidecars apply the former user's events to the other (:mod:`winnow.erasures.tombstone`), and the script that appends
events replaces the former id for :data:`~winnow.users.changes.ALIAS_DAYS` days. Every step can be repeated, so a merge
that was interrupted is completed by doing it again.
"""

from typing import Any

from winnow.erasures.ledger import moment_of
from winnow.erasures.tombstone import Tombstone, tombstone_key
from winnow.errors import WinnowError
from winnow.release import Release
from winnow.store import keys as names
from winnow.store.connection import Client
from winnow.store.keys import Keys
from winnow.store.recent_events import KEPT, REMEMBERED_S
from winnow.store.shared_state import state_of
from winnow.store.stored_items import StoredItems
from winnow.store.user_activity import UserActivity, guarded, watched
from winnow.users.attributes import Attributes
from winnow.users.changes import append_merge


class Unreadable(WinnowError):
    """A stored filter has an invalid format."""


def merge(client: Client, release: Release, attributes: Attributes, user_id: str, into: str) -> int:
    """Merge a user of a release into another; afterwards Redis holds nothing of the former in its data set.

    Args:
        client: blocking connection to Redis that returns bytes.
        release: the release, whose data set's histories and filters are merged.
        attributes: of the release's users.
        user_id: the user to merge.
        into: the other; unknown users are allowed.

    Returns:
        The moment of the merge, in milliseconds since the epoch.

    Raises:
        NotMerged: one of the users was merged into another one before.
        Unreadable: a filter of one of them cannot be read.
        RedisError: Redis does not answer; merging again is safe.
    """
    at_ms = moment_of(append_merge(client, user_id, into))
    # From here on nothing writes the former user's keys.
    client.set(tombstone_key(user_id), Tombstone(at_ms, into).packed)
    _unite(client, release, user_id, into)
    _move_recent(client, user_id, into)
    former, others = attributes.effective([user_id, into])
    missing = {name: value for name, value in former.items() if value is not None and others[name] is None}
    attributes.override([(into, missing, at_ms)])
    state = state_of(release)
    gone = [*watched(state, user_id), names.recent(user_id), names.shown(user_id), names.attributes(user_id)]
    members: Any = client.smembers(state.releases)
    for number in sorted({release.manifest.number, *map(int, members)}):
        keys = Keys(number)
        gone += [keys.user_row(user_id), keys.offline_list(user_id)]
    client.delete(*gone)
    return at_ms


def _unite(client: Client, release: Release, user_id: str, into: str) -> None:
    state = state_of(release)
    [former] = UserActivity.read_all(client, state, [user_id])
    if former is None:
        raise Unreadable("user_id: the user's filters cannot be read: run `winnow filters rebuild`, then merge again")
    item_ids = {entry.split(b"|", 2)[2].decode() for entry in former.history}
    items = StoredItems(client, release).read(item_ids) if item_ids else {}

    def update(pipe: Any) -> None:
        try:
            activity = UserActivity.read(pipe, state, into)
        except ValueError as error:
            raise Unreadable("into: the user's filters cannot be read: run `winnow filters rebuild` first") from error
        activity.absorb(former, items)
        pipe.multi()
        activity.write(pipe, state)

    client.transaction(update, *guarded(state, into))


def _move_recent(client: Client, user_id: str, into: str) -> None:
    members: Any = client.zrange(names.recent(user_id), 0, -1, withscores=True)
    if not members:
        return
    pipe = client.pipeline(transaction=False)
    pipe.zadd(names.recent(into), dict(members))
    pipe.zremrangebyrank(names.recent(into), 0, -KEPT - 1)
    pipe.expire(names.recent(into), REMEMBERED_S)
    pipe.execute()
