"""A release's funnel, served by a stack of its own and asked over gRPC: its lists, and how it found them."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm
from tritonclient.grpc import InferenceServerClient

from winnow import protocols
from winnow.errors import WinnowError
from winnow.items.index import ItemIndex
from winnow.local import redis
from winnow.local.stack import beside
from winnow.ports import Ports
from winnow.release import Release
from winnow.request import MAX_DEADLINE_MS, Answer
from winnow.store.bulk import send
from winnow.store.connection import connect
from winnow.store.release_log import ReleaseLog
from winnow.store.shared_state import state_of
from winnow.store.user_activity import UserActivity

DEPTH = 50
"""Length of the evaluated lists."""

_BATCH = 16
_TRACED = 4
"""Users of a call that asks for traces, of some 300 kB each."""

_CONNECTIONS = 2
_HISTORIES = 500
"""Histories that are written at once."""

Trace = dict[str, Any]
"""The ``trace`` of an answer; docs/reference.md describes it."""


class Funnel:
    """A served release; made by ``serving``."""

    def __init__(self, release: Release, ports: Ports, endpoint: InferenceServerClient, show_progress: bool) -> None:
        self._release, self._ports, self._endpoint, self._show = release, ports, endpoint, show_progress

    @classmethod
    @contextmanager
    def serving(cls, release: Release, show_progress: bool = False) -> Iterator[Self]:
        """Serve a release beside whatever this home serves.

        Args:
            release: the release.
            show_progress: show progress bars.

        Raises:
            WinnowError: the stack does not become ready.
        """
        with (
            # The same answers as Triton's, on any machine that can run Redis (decision 49).
            beside(release.manifest.number, "embedded", show_progress=show_progress) as ports,
            protocols.grpc(ports.grpc) as endpoint,
        ):
            yield cls(release, ports, endpoint, show_progress)

    def add_histories(self, other: Release, users: NDArray[np.int64]) -> None:
        """Add what the log of another release knows of some users to the state of this one.

        Args:
            other: a release of the same data set with the same event types.
            users: int64 [n], rows of the other release's ``user_ids``.
        """
        log, state = ReleaseLog(other), state_of(self._release)
        with connect(redis.url(self._ports.redis)) as store:
            for start in range(0, len(users), _HISTORIES):
                added = log.users(users[start : start + _HISTORIES])
                held = UserActivity.read_all(store, state, added.user_ids)
                known = [
                    activity or UserActivity.new(name) for activity, name in zip(held, added.user_ids, strict=True)
                ]
                merged = [added.add_to(activity, user) for user, activity in enumerate(known)]
                send(store, [activity.replacement(state) for activity in merged if activity.changed])

    def lists(self, user_ids: Sequence[str], index: ItemIndex) -> NDArray[np.int32]:
        """The funnel's answers: int32 [users, DEPTH], padded with 0.

        Args:
            user_ids: the users.
            index: gives the indices of the items; 0 for an item that it does not know.

        Raises:
            WinnowError: an answer was degraded.
        """
        top = np.zeros((len(user_ids), DEPTH), np.int32)
        for user, answer in enumerate(self._answers(user_ids, _BATCH, "query the funnel")):
            found = index.find([item["item_id"].encode() for item in answer["items"]])
            top[user, : len(found)] = found
        return top

    def traces(self, user_ids: Sequence[str]) -> Iterator[Trace]:
        """The trace of an answer to each user, in order.

        Args:
            user_ids: the users.

        Raises:
            WinnowError: an answer was degraded.
        """
        for answer in self._answers(user_ids, _TRACED, "trace the funnel", debug=True):
            yield answer["trace"]

    def _answers(self, user_ids: Sequence[str], size: int, what: str, **fields: bool) -> Iterator[Answer]:
        batches = [user_ids[start : start + size] for start in range(0, len(user_ids), size)]

        def ask(batch: Sequence[str]) -> list[Answer]:
            # A long deadline: on a busy machine, a short one would evaluate the fallbacks instead of the funnel.
            instances = [{"user_id": user, "k": DEPTH, "deadline_ms": MAX_DEADLINE_MS, **fields} for user in batch]
            answers = protocols.over_grpc(self._endpoint, instances)
            for answer in answers:
                if answer["degraded"]:
                    raise WinnowError(f"the funnel was degraded while it was evaluated: {answer['degraded']}")
            return answers

        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            # Two calls wait while the answers of another are read, so that few answers are in memory.
            asked = [pool.submit(ask, batch) for batch in batches[:_CONNECTIONS]]
            for number in tqdm(range(len(batches)), desc=what, disable=not self._show):
                answers = asked.pop(0).result()
                if number + _CONNECTIONS < len(batches):
                    asked.append(pool.submit(ask, batches[number + _CONNECTIONS]))
                yield from answers
