"""Live changes of users: their calls run in threads, and the stream of changes is applied to the release's rows."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from threading import Lock
from typing import Any, TypeVar

from winnow.errors import WinnowError
from winnow.release import Release
from winnow.store.connection import FAILURES, AsyncClient, Client, connect
from winnow.store.events import position
from winnow.store.keys import USER_CHANGES, USER_CHANGES_TRIMMED, Keys
from winnow.users.attributes import Attributes
from winnow.users.changes import ERASE, users_of

log = logging.getLogger(__name__)

_POLL_S = 0.5
"""Interval at which a process looks for changes that another release's transformers made."""

_BATCH = 200
_TIMEOUT_S = 5.0
_THREADS = 4

T = TypeVar("T")


class LiveUsers:
    """Changes users of a release, and follows the changes that others make.

    Args:
        release: the release.
        redis_url: address of Redis.
    """

    def __init__(self, release: Release, redis_url: str) -> None:
        self.release = release
        self._url = redis_url
        self._keys = Keys(release.manifest.number)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="users")
        # An erasure takes seconds; others wait for it, but no read or upsert does.
        self._slow = ThreadPoolExecutor(1, thread_name_prefix="erasures")
        self._connecting = Lock()
        # The last change that was applied; None before any is known.
        self._position: str | None = None

    @cached_property
    def _connected(self) -> tuple[Client, Attributes]:
        client = connect(self._url)
        return client, Attributes(client, self.release)

    async def call(self, function: Callable[..., T], *args: Any, slow: bool = False) -> T:
        """Call a function of the client and the attributes in a thread, with further arguments.

        Raises:
            WinnowError: Redis does not answer.
            RedisError: likewise.
        """
        threads = self._slow if slow else self._threads
        return await asyncio.get_running_loop().run_in_executor(threads, partial(self._run, function, *args))

    async def catch_up(self, client: AsyncClient) -> None:
        """Apply all changes since the release's data was read, so that the release is served with them.

        Args:
            client: connection to Redis that returns bytes.

        Raises:
            RedisError: Redis does not answer.
        """
        if not await client.exists(USER_CHANGES):
            self._position = "0-0"
            return
        held: Any = await client.get(self._keys.user_changes)
        trimmed: Any = await client.get(USER_CHANGES_TRIMMED)
        if held is not None and (trimmed is None or position(held) >= position(trimmed)):
            self._position = str(held.decode())
            return
        stream: Any = await client.xinfo_stream(USER_CHANGES)
        last: bytes = stream["last-generated-id"]
        await self.call(_refresh_all)
        await client.set(self._keys.user_changes, last)
        self._position = last.decode()

    async def follow(self, client: AsyncClient, erased: Callable[[], None]) -> None:
        """Apply changes as they arrive in the stream, until cancelled; retries while Redis fails.

        Args:
            client: connection to Redis that returns bytes.
            erased: called when a user was erased.
        """
        task = asyncio.current_task()
        assert task is not None
        # asyncio.wait_for, which the client uses, can swallow a cancellation in Python 3.11.
        while not task.cancelling():
            try:
                if self._position is None:
                    await self.catch_up(client)
                    continue
                async with asyncio.timeout(_TIMEOUT_S):
                    answer: Any = await client.xread({USER_CHANGES: self._position}, count=_BATCH)
                entries = answer[0][1] if answer else []
                if entries:
                    await self._apply([fields for _, fields in entries], erased)
                    self._position = entries[-1][0].decode()
                    await client.set(self._keys.user_changes, self._position)
                if len(entries) < _BATCH:
                    await asyncio.sleep(_POLL_S)
            except (*FAILURES, WinnowError, OSError) as error:
                log.warning("changes of users cannot be read from Redis: %s", error)
                await asyncio.sleep(_POLL_S)

    def close(self) -> None:
        """End the threads and close the connections."""
        for threads in (self._threads, self._slow):
            threads.shutdown(wait=False, cancel_futures=True)
        if "_connected" in self.__dict__:
            self._connected[0].close()

    async def _apply(self, entries: list[dict[bytes, bytes]], erased: Callable[[], None]) -> None:
        if any(entry.get(b"action") == ERASE.encode() for entry in entries):
            erased()
        users = list(dict.fromkeys(user_id for entry in entries for user_id in users_of(entry)))
        if users:
            await self.call(_refresh, users)

    def _run(self, function: Callable[..., T], *args: Any) -> T:
        with self._connecting:
            client, attributes = self._connected
        return function(client, attributes, *args)


def _refresh(client: Client, attributes: Attributes, user_ids: list[str]) -> None:
    attributes.refresh(user_ids)


def _refresh_all(client: Client, attributes: Attributes) -> None:
    attributes.refresh_all()
