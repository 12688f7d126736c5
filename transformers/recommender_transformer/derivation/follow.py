"""Derives every change of the catalog for a release, whichever release's process took the call.

One transformer of a release does so at a time: the one that holds the lease. It begins where the release's build had
read the changes, and remembers in Redis how far it has come. The process that takes a call derives the items for its
own release before it answers, so what is left are changes that came through another release, that came before the
release was served, or whose process died.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Sequence
from typing import Any

import grpc.aio

from recommender_transformer.backends import live_items
from recommender_transformer.backends.catalog import LiveItem
from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.derivation.derive import Derivation
from winnow.catalog import append
from winnow.catalog.change import AVAILABLE, Overlay, position
from winnow.store.connection import AsyncClient, RedisError, connect_async
from winnow.store.keys import LATEST_CHANGES

log = logging.getLogger(__name__)

_LEASE_MS = 5000
_BLOCK_MS = 1000
_READ_TIMEOUT_S = 5.0
_RETRY_S = 0.5
_CATCH_UP_S = 20.0
_BATCH = 64
"""Changed items per read; the lease is renewed in between."""

_PATIENCE_S = 0.25
"""Time for the process that took a call to derive its items before they are derived here."""

_HOLD = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
"""Takes or renews the lease."""

_AWAY = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
)

Entry = tuple[str, str, str]
"""Id of a change, its item, and the release whose process took it."""


class Follower:
    """Follows the changes of the catalog for one release.

    Args:
        store: of the release.
        derivation: derives its items.
        read_by_build: id of the last change that the release's data contained; "" for none.
    """

    def __init__(self, store: OnlineStore, derivation: Derivation, read_by_build: str) -> None:
        self._store = store
        self._derivation = derivation
        self._first = read_by_build or "0"
        self._release = str(store.keys.release)
        self._name = secrets.token_hex(8)

    async def start(self) -> str:
        """Derive the changes so far and read all live items, so that no item that was taken down is shown.

        Returns:
            The position in the stream of live items, which is its beginning if Redis does not answer.
        """
        try:
            await live_items.catch_up(self._store)
            await self._catch_up()
        except (RedisError, OSError, grpc.aio.AioRpcError) as error:
            log.warning("changes of the catalog wait: %s", error)
        try:
            return await live_items.catch_up(self._store)
        except (RedisError, OSError):
            return "0"

    async def _catch_up(self) -> None:
        """Derive the changes so far, for some seconds; those that are left are derived by :meth:`follow`.

        Items that were taken down come first: they need no models, and none of them may be shown.
        """
        until = time.monotonic() + _CATCH_UP_S
        client = self._store.client
        last: Any = await client.xrevrange(LATEST_CHANGES, count=1)
        if not last:
            return
        while time.monotonic() < until and position(await self._position()) < position(last[0][0].decode()):
            if not await self._holds_lease(client):
                await asyncio.sleep(_PATIENCE_S)
                continue
            await self._take_down(until)
            while time.monotonic() < until and await self._next(client, None):
                pass
            return

    async def follow(self, url: str) -> None:
        """Derive changes as they arrive, until cancelled; retries while Redis or the models fail.

        Args:
            url: URL of Redis; blocking reads need a connection of their own.
        """
        client = connect_async(url)
        task = asyncio.current_task()
        assert task is not None
        try:
            # asyncio.wait_for, which the client uses, can swallow a cancellation in Python 3.11.
            while not task.cancelling():
                try:
                    if await self._holds_lease(client):
                        await self._next(client, _BLOCK_MS)
                    else:
                        await asyncio.sleep(_BLOCK_MS / 1000)
                except (RedisError, OSError, grpc.aio.AioRpcError) as error:
                    log.warning("changes of the catalog wait: %s", error)
                    await asyncio.sleep(_RETRY_S)
        finally:
            await client.aclose()

    async def _next(self, client: AsyncClient, block_ms: int | None) -> bool:
        """Derive one batch; whether there was one."""
        after = await self._position()
        async with asyncio.timeout((block_ms or 0) / 1000 + _READ_TIMEOUT_S):
            answer: Any = await client.xread({LATEST_CHANGES: after}, count=_BATCH, block=block_ms)
        if not answer:
            return False
        entries = _entries(answer)
        pending = await self._pending(entries)
        if any(release == self._release for _, _, release in pending):
            await asyncio.sleep(_PATIENCE_S)
            pending = await self._pending(pending)
        await self._derive([item_id for _, item_id, _ in pending])
        await self._store.client.set(self._store.keys.derived, entries[-1][0])
        return True

    async def _take_down(self, until: float) -> None:
        """Derive the deleted and the unavailable items among those that wait."""
        after = await self._position()
        while time.monotonic() < until:
            answer: Any = await self._store.client.xread({LATEST_CHANGES: after}, count=_BATCH)
            if not answer:
                return
            entries = _entries(answer)
            after = entries[-1][0]
            pending = [item_id for _, item_id, _ in await self._pending(entries)]
            held = await append.overlays(self._store.client, pending)
            down = [item_id for item_id, overlay in zip(pending, held, strict=True) if _is_down(overlay)]
            await self._derive(down)
            await self._holds_lease(self._store.client)

    async def _derive(self, item_ids: Sequence[str]) -> None:
        """Derive items and write them; an item that cannot be derived is logged and left as it was.

        Raises:
            RedisError: Redis does not answer.
            grpc.aio.AioRpcError: Triton does not answer.
            OSError: a model in this process fails.
        """
        overlays = await append.overlays(self._store.client, item_ids)
        work = [(item_id, overlay) for item_id, overlay in zip(item_ids, overlays, strict=True) if overlay.version]
        results = await asyncio.gather(*(self._one(*each) for each in work), return_exceptions=True)
        derived = [item for items in results if not isinstance(items, BaseException) for item in items]
        if derived:
            await live_items.write(self._store, derived)
        for (item_id, _), result in zip(work, results, strict=True):
            if isinstance(result, BaseException):
                if _is_temporary(result):
                    raise result
                log.error("the change of item %r is not applied: %s", item_id, result)

    async def _one(self, item_id: str, overlay: Overlay) -> list[LiveItem]:
        if overlay.deleted and not self._store.catalog.knows(item_id):
            return []
        return [derived.item for derived in await self._derivation.derive([item_id], [overlay])]

    async def _pending(self, entries: Sequence[Entry]) -> list[Entry]:
        """The entries whose items the release has not derived."""
        if not entries:
            return []
        held = await live_items.versions(self._store, [item_id for _, item_id, _ in entries])
        return [entry for entry, version in zip(entries, held, strict=True) if position(version) < position(entry[0])]

    async def _position(self) -> str:
        held: Any = await self._store.client.get(self._store.keys.derived)
        return held.decode() if held else self._first

    async def _holds_lease(self, client: AsyncClient) -> bool:
        return bool(await client.eval(_HOLD, 1, self._store.keys.deriver, self._name, _LEASE_MS))


def _entries(answer: Any) -> list[Entry]:
    [(_, entries)] = answer
    return [(entry.decode(), f[b"item_id"].decode(), f.get(b"release", b"").decode()) for entry, f in entries]


def _is_down(overlay: Overlay) -> bool:
    return overlay.deleted or overlay.values.get(AVAILABLE) is False


def _is_temporary(error: BaseException) -> bool:
    """Whether the same derivation may succeed later."""
    if isinstance(error, grpc.aio.AioRpcError):
        return error.code() in _AWAY
    return isinstance(error, RedisError | OSError) or not isinstance(error, Exception)
