"""How far the release's sidecars have come in the event stream, by Redis' own account of their group."""

from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError, ResponseError

from winnow.explorer.base.stack import Stack
from winnow.store.keys import EVENTS, Keys


@dataclass(frozen=True)
class Freshness:
    """The state of the stream.

    Attributes:
        entries: in the stream.
        newest_ms: when its newest entry was appended; ``None`` for an empty stream.
        applied_ms: when the newest entry was appended before which all are applied; ``None`` where none is.
        pending: entries that were read but not applied.
        unread: entries that were not read; ``None`` where Redis cannot tell.
        group: whether the release's sidecars have read the stream at all.
    """

    entries: int
    newest_ms: int | None
    applied_ms: int | None
    pending: int
    unread: int | None
    group: bool


async def freshness(stack: Stack, release: int) -> Freshness | None:
    """The state of a release's group; ``None`` where Redis does not answer."""
    redis: Any = stack.redis
    name = Keys(release).group
    try:
        entries = int(await redis.xlen(EVENTS))
        newest = await redis.xrevrange(EVENTS, count=1)
        groups = {_text(each["name"]): each for each in await _groups(stack)}
        group = groups.get(name)
        newest_ms = _ms(newest[0][0]) if newest else None
        if group is None:
            return Freshness(entries, newest_ms, None, 0, None, False)
        pending = int(group["pending"])
        applied: int | None = _ms(group["last-delivered-id"])
        if pending:
            oldest = (await redis.xpending(EVENTS, name))["min"]
            before = await redis.xrevrange(EVENTS, f"({_text(oldest)}", "-", 1)
            applied = _ms(before[0][0]) if before else None
        unread = group.get("lag")
        return Freshness(entries, newest_ms, applied or None, pending, None if unread is None else int(unread), True)
    except RedisError:
        return None


async def _groups(stack: Stack) -> list[dict[str, Any]]:
    try:
        return list(await stack.redis.xinfo_groups(EVENTS))
    except ResponseError:
        # There is no stream before the first event.
        return []


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _ms(entry_id: bytes | str) -> int:
    return int(_text(entry_id).partition("-")[0])
