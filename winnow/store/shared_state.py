"""The users' state that the releases of one data set share: histories, seen filters, category filters.

None of it depends on a release: histories name items by id, filters contain hashes of ids and of category names, and
what an event does to them is idempotent. All releases with the same :func:`state_of` therefore use one copy. Each adds
the events of its own log when it is published, and its sidecars add those of the stream. Whatever the order, the state
is the union of what each of the releases would have alone.

:class:`Logged` remembers the logs that the state contains, as a fingerprint per user: the next release reads and writes
only users whose log has changed.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray
from redis.exceptions import LockError
from redis.lock import Lock

from winnow.errors import WinnowError
from winnow.release import Release
from winnow.store import history
from winnow.store.bulk import send
from winnow.store.connection import FAILURES, Client
from winnow.store.keys import StateKeys

FORMAT = 1
"""Format of histories and filters; another one is another state."""

SLICE = 2000
"""Users that are published at once, and fingerprints per key: 16 kB."""

_KEYS = 1000
"""Keys of fingerprints that are read or deleted at once."""

_LOCK_S = 10.0
"""Expiry of the lock, in seconds; every slice renews it, so a killed publication holds it for this long."""


def state_of(release: Release) -> StateKeys:
    """The state that a release uses.

    It is named by a digest of all that its content depends on: the data set (by its name; the generated marketplace
    also by its sizes), the hold-out, the event types, whose positions are the codes in histories, and the format.
    """
    manifest = release.manifest
    source = manifest.source
    generated = None if source.data else (source.items, source.users, source.events, source.seed)
    depends = [manifest.dataset, generated, manifest.holdout, release.schema.events, FORMAT, history.KEPT]
    return StateKeys("s" + blake2b(json.dumps(depends).encode(), digest_size=4).hexdigest())


def is_filled(client: Client, state: StateKeys) -> bool:
    """Whether the publication of some release has filled the state."""
    return bool(client.exists(state.releases))


@contextmanager
def locked(client: Client, state: StateKeys) -> Iterator[Lock]:
    """Hold the lock of the state: one publication writes to it at a time.

    Raises:
        WinnowError: another publication holds the lock, or this one stalled until its lock expired.
    """
    lock = client.lock(state.lock, timeout=_LOCK_S)
    if not lock.acquire(blocking=True, blocking_timeout=_LOCK_S + 1):
        raise WinnowError("another release of the same data set is being published: wait until that has ended")
    try:
        yield lock
        lock.release()
    except LockError as error:
        raise WinnowError(
            "the publication stalled until its lock expired, and another may have started: run it again; it continues "
            "where it stopped"
        ) from error
    except BaseException:
        with suppress(LockError, *FAILURES):
            lock.release()
        raise


class Logged:
    """The logs that a state contains: a fingerprint for each user of the release that was published last.

    In Redis and in this process they take 8 bytes per user.

    Args:
        client: connection to Redis that returns bytes.
        state: the state.
    """

    def __init__(self, client: Client, state: StateKeys) -> None:
        keys = _stored(client, state)
        parts = [
            part
            for start in range(0, len(keys), _KEYS)
            for part in send(client, [("GET", key) for key in keys[start : start + _KEYS]])
        ]
        self._known = np.sort(np.frombuffer(b"".join(part for part in parts if isinstance(part, bytes)), "<u8"))

    def contains(self, fingerprints: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Whether the state contains each of the logs: bool [n]."""
        if not len(self._known):
            return np.zeros(len(fingerprints), np.bool_)
        places = np.searchsorted(self._known, fingerprints)
        found: NDArray[np.bool_] = self._known.take(places, mode="clip") == fingerprints
        return found


def remember_logs(client: Client, state: StateKeys, release: int, users: int) -> None:
    """Make the fingerprints of ``release``, one for each of its ``users``, those of the state."""
    before = _stored(client, state)
    client.hset(state.logged, mapping={"release": release, "users": users})
    gone = sorted(set(before) - set(_stored(client, state)))
    for start in range(0, len(gone), _KEYS):
        send(client, [("UNLINK", key) for key in gone[start : start + _KEYS]])


def _stored(client: Client, state: StateKeys) -> list[str]:
    """The keys of the state's fingerprints."""
    held: dict[bytes, bytes] = client.hgetall(state.logged)  # type: ignore[assignment]
    if not held:
        return []
    return [state.log(int(held[b"release"]), first) for first in range(0, int(held[b"users"]), SLICE)]
