"""Publish a release: write its keys to Redis from the release folder. Remove one: delete them.

Rows, trending list and counts are the release's own. The users' state is shared with other releases of the same data
set (:mod:`winnow.store.shared_state`): the first publication writes every user's, a later one adds what its log has
beyond the logs before it. The folder's arrays are read, and the keys written, slice by slice; Redis remembers the last
one, where a publication that was interrupted goes on. The digest of the manifest is written last: a release whose
digest is present is complete.

Users who were erased after the release's data was read are left out, and what the log has of users who were merged is
added to those whom they were merged into.
"""

from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from redis.lock import Lock
from tqdm import tqdm

from winnow.erasures.ledger import Ledger
from winnow.errors import ReleaseMismatch, WinnowError
from winnow.release import Release
from winnow.store import trending
from winnow.store.bulk import Command, send
from winnow.store.connection import FAILURES, Client, connect, shown
from winnow.store.keys import CATALOG_READ, EVENTS, Keys, StateKeys
from winnow.store.release_log import LoggedUsers, ReleaseLog
from winnow.store.shared_state import SLICE, Logged, is_filled, locked, remember_logs, state_of
from winnow.store.user_activity import UserActivity, guarded, shadow_members, watched

_SCANNED = 1000
"""Keys that are deleted at once."""

_ITEMS = 5000
"""Item rows that are published at once."""


def publish(release_folder: Path, url: str, show_progress: bool) -> None:
    """Write a release's item rows, user rows, trending list and item counts, and add its log to the users' state.

    Does nothing where Redis already holds the release, and continues a publication that was interrupted.

    Args:
        release_folder: folder of the release.
        url: address of Redis.
        show_progress: show a progress bar.

    Raises:
        ReleaseMismatch: Redis holds another release under the same number.
        WinnowError: Redis does not answer, or failed meanwhile, or another release is being published.
    """
    release = Release.open(release_folder)
    number = release.manifest.number
    with connect(url) as client:
        try:
            if _is_complete(client, url, release):
                return
            publication = _Publication(client, release)
            with locked(client, state_of(release)) as lock:
                if not _is_complete(client, url, release):
                    publication.run(lock, show_progress)
        except FAILURES as error:
            raise WinnowError(
                f"Redis failed while release {number} was published: publish it again, which continues where this "
                f"publication stopped ({error})"
            ) from error


def remove(number: int, url: str) -> None:
    """Delete a release's keys, its consumer group and, where no other release uses it, the users' state.

    Args:
        number: number of the release; no process may be serving it.
        url: address of Redis.

    Raises:
        WinnowError: Redis has no such release, does not answer, or a release of the same data set is being published.
    """
    keys = Keys(number)
    with connect(url) as client:
        try:
            name = client.get(keys.state)
            if not isinstance(name, bytes):
                raise WinnowError(f"{shown(url)} holds no release {number}: nothing was removed")
            state = StateKeys(name.decode())
            with locked(client, state) as lock:
                client.delete(keys.manifest)
                client.srem(state.releases, number)
                client.hdel(CATALOG_READ, str(number))
                if client.exists(EVENTS):
                    client.xgroup_destroy(EVENTS, keys.group)
                unused = [] if client.exists(state.releases) else [f"{state.name}:*"]
                # The name of the state is deleted last: until then the removal can be repeated.
                for pattern in (*unused, f"r{number}:*"):
                    found = (
                        key for key in client.scan_iter(match=pattern, count=_SCANNED) if key != keys.state.encode()
                    )
                    while batch := list(islice(found, _SCANNED)):
                        send(client, [("UNLINK", key) for key in batch])
                        lock.reacquire()
                client.delete(keys.state)
        except FAILURES as error:
            raise WinnowError(f"Redis failed while release {number} was removed: repeat it ({error})") from error


def published(client: Client, number: int) -> str | None:
    """Digest of the manifest of the release that Redis holds under ``number``, or ``None``."""
    held = client.get(Keys(number).manifest)
    return held.decode() if isinstance(held, bytes) else None


def check_published(client: Client, url: str, release: Release) -> None:
    """Check that Redis holds exactly ``release``, and the state that it uses.

    Raises:
        ReleaseMismatch: Redis holds none or another; the message names both.
    """
    number, digest = release.manifest.number, release.digest
    held = published(client, number)
    if held != digest:
        raise ReleaseMismatch(
            f"{release.folder} is release {number} ({digest[:12]}), but {shown(url)} holds "
            + (f"another release {number} ({held[:12]})" if held else f"no release {number}")
            + ": publish this release there, or serve the release that Redis holds"
        )
    if not _has_state(client, release):
        raise ReleaseMismatch(
            f"{shown(url)} holds release {number} as another version of Winnow published it: publish it again "
            "(`winnow up`, or `python -m winnow.store`)"
        )


def _is_complete(client: Client, url: str, release: Release) -> bool:
    """Whether Redis holds the release, its rows (of which the last item's stands for all) and its users' state.

    Raises:
        ReleaseMismatch: Redis holds another release under the same number.
    """
    number, held = release.manifest.number, published(client, release.manifest.number)
    if held is not None and held != release.digest:
        raise ReleaseMismatch(
            f"{shown(url)} holds a release {number} with digest {held[:12]}, "
            f"but {release.folder} is {release.digest[:12]}: "
            f"build again to get a new number, or remove that one: python -m winnow.store --remove {number}"
        )
    if held is None or not _has_state(client, release):
        return False
    keys, last = Keys(number), release.strings("item_ids")[-1]
    # The row of a deleted item is gone, and the item is among the live items.
    return bool(client.exists(keys.item(last)) or client.hexists(keys.live_item_versions, last))


def _has_state(client: Client, release: Release) -> bool:
    """Whether the state contains the release's log."""
    return bool(client.sismember(state_of(release).releases, str(release.manifest.number)))


class _Publication:
    """Writes a release, from where an earlier publication of it stopped."""

    def __init__(self, client: Client, release: Release) -> None:
        self._client = client
        self._release = release
        self._keys = Keys(release.manifest.number)
        self._state = state_of(release)
        # Both take time in proportion to the catalog or the log, before the lock is held.
        self._log = ReleaseLog(release)
        self._ledger = Ledger.read(client)
        self._counts = trending.initial_counts(release)

    def run(self, lock: Lock, show_progress: bool) -> None:
        client, keys, release, state = self._client, self._keys, self._release, self._state
        users, items = len(release.array("user_ids")), release.items
        if published(client, keys.release) is not None and not _has_state(client, release) and client.exists(EVENTS):
            # By a version with a state per release: the new state needs the events that its sidecars have applied.
            client.xgroup_destroy(EVENTS, keys.group)
        client.set(keys.state, state.name)
        client.hset(CATALOG_READ, str(keys.release), release.manifest.catalog_position)
        logged = Logged(client, state) if is_filled(client, state) else None
        self._begin(fills=logged is None)
        about = f"publish release {keys.release}"
        with tqdm(total=items + users, desc=about, unit="key", disable=not show_progress) as bar:
            for part in ("items", "users"):
                position = int(client.hget(keys.publishing, part) or 0)
                bar.update(position)
                for written in self._item_rows(position) if part == "items" else self._users(position, logged):
                    position += written
                    client.hset(keys.publishing, part, str(position))
                    lock.reacquire()
                    bar.update(written)
        self._settle()
        trending.seed(client, keys, self._counts)
        client.set(keys.trending, np.asarray(release.array("popular"), "<i4").tobytes())
        remember_logs(client, state, keys.release, users)
        client.sadd(state.releases, keys.release)
        client.set(keys.manifest, release.digest)
        client.delete(keys.publishing)

    def _begin(self, fills: bool) -> None:
        """Discard progress that does not count: of another release, or in a state that another release has filled."""
        client, keys, digest = self._client, self._keys, self._release.digest.encode()
        filler = client.get(self._state.filler)
        if fills and filler != digest:
            client.set(self._state.filler, digest)
            client.delete(keys.publishing)
            filler = digest
        if client.hmget(keys.publishing, "digest", "filler") != [digest, filler]:
            client.delete(keys.publishing)
            client.hset(keys.publishing, mapping={"digest": digest, "filler": filler or b""})

    def _item_rows(self, first: int) -> Iterator[int]:
        """Write item rows from position ``first``; yields the number of each slice."""
        ids, rows = self._release.strings("item_ids")[1:], self._release.array("item_rows")[1:]
        for start in range(first, len(ids), _ITEMS):
            packed = zip(ids[start : start + _ITEMS].tolist(), _packed(rows[start : start + _ITEMS]), strict=True)
            commands: list[Command] = [("SET", self._keys.item(item_id), row) for item_id, row in packed]
            send(self._client, commands)
            yield len(commands)

    def _users(self, first: int, logged: Logged | None) -> Iterator[int]:
        """Write users' rows, and their logs to the state, from row ``first``; yields the number of each slice.

        Without ``logged`` no release is served from the state, and it is filled.
        """
        log, rows = self._log, self._release.array("user_rows")
        for start in range(first, len(rows), SLICE):
            end = min(start + SLICE, len(rows))
            users = log.users(np.arange(start, end))
            stays = ~self._ledger.gone(users.user_ids, log.known_ms)
            fingerprints = users.fingerprints
            places = start + np.flatnonzero(stays)
            packed = _packed(rows[places])
            if not stays.all():
                users = log.users(places)
            if logged is None:
                commands = self._whole(users, packed)
            else:
                self._add(log.users(start + np.flatnonzero(stays & ~logged.contains(fingerprints))))
                commands = [("SET", self._keys.user_row(u), row) for u, row in zip(users.user_ids, packed, strict=True)]
            commands.append(("SET", self._state.log(self._keys.release, start), fingerprints.tobytes()))
            send(self._client, commands)
            yield end - start

    def _whole(self, users: LoggedUsers, rows: list[bytes]) -> list[Command]:
        """Commands that write rows and state of users whom no sidecar writes yet."""
        commands: list[Command] = []
        for user, (user_id, row) in enumerate(zip(users.user_ids, rows, strict=True)):
            seen, history, categories, shadow = watched(self._state, user_id)
            # The lists of an interrupted publication would be extended.
            commands.append(("DEL", history, shadow))
            values = (
                (self._keys.user_row(user_id), row),
                (seen, users.seen[user]),
                (categories, users.categories[user]),
            )
            commands.append(("MSET", *(part for value in values if value[1] for part in value)))
            if users.histories[user]:
                commands.append(("RPUSH", history, *users.histories[user]))
            if members := shadow_members(users.shadow(user)):
                commands.append(("ZADD", shadow, *(part for value, end in members.items() for part in (end, value))))
        return commands

    def _add(self, users: LoggedUsers) -> None:
        """Add logs to a state that sidecars write meanwhile; a filter that cannot be read is left to a rebuild."""
        held = UserActivity.read_all(self._client, self._state, users.user_ids)
        added = {user: users.add_to(activity, user) for user, activity in enumerate(held) if activity is not None}
        changed = {user: activity for user, activity in added.items() if activity.changed}
        replies = send(self._client, [activity.replacement(self._state) for activity in changed.values()])
        for user, written in zip(changed, replies, strict=True):
            if not written:
                # A sidecar wrote it meanwhile.
                self._client.transaction(
                    partial(self._update, users, user), *guarded(self._state, users.user_ids[user])
                )

    def _update(self, users: LoggedUsers, user: int, pipe: Any, user_id: str | None = None) -> None:
        activity = users.add_to(UserActivity.read(pipe, self._state, user_id or users.user_ids[user]), user)
        pipe.multi()
        activity.write(pipe, self._state)

    def _settle(self) -> None:
        """Add the logs of merged users to the others', and remove users who went while this publication wrote them.

        An erasure that begins later finds all keys of the release.
        """
        before, self._ledger = self._ledger, Ledger.read(self._client)
        if self._ledger == Ledger():
            return
        log = self._log
        for start in range(0, len(log.user_ids), SLICE):
            names: list[str] = log.user_ids[start : start + SLICE].tolist()
            gone = self._ledger.gone(names, log.known_ms)
            late = gone & ~before.gone(names, log.known_ms)
            for place in np.flatnonzero(late).tolist():
                name = names[place]
                send(self._client, [("UNLINK", self._keys.user_row(name), *watched(self._state, name))])
            for place in np.flatnonzero(gone).tolist():
                owner = self._ledger.owner(names[place], log.known_ms + 1)
                if owner is not None and owner != names[place]:
                    change = partial(self._update, log.users(np.array([start + place])), 0, user_id=owner)
                    self._client.transaction(change, *guarded(self._state, owner))


def _packed(rows: NDArray[np.void]) -> list[bytes]:
    """The bytes of each row."""
    size, whole = rows.dtype.itemsize, rows.tobytes()
    return [whole[start : start + size] for start in range(0, len(whole), size)]
