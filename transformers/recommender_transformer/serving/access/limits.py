"""Token buckets per caller, shared by all processes through Redis without a request waiting for it.

A call takes from a bucket of its own process. In the background each process reports to Redis what it took, and learns
what is left: :data:`INTERVAL_S` after the first call, and at once when a tenth of a burst was taken. So over any time
the calls of a caller are at most rate x time + burst, and what further processes admit before they learn of each
other's calls, at most one burst each; the bucket in Redis goes below zero by as much, which is waited off.

While Redis does not answer, each process applies the limit by itself.
"""

import asyncio
import hashlib
import logging
from contextlib import suppress
from time import monotonic

from winnow.settings.access import Limit
from winnow.store.connection import AsyncClient, RedisError, connect_async

log = logging.getLogger(__name__)

INTERVAL_S = 0.1
"""Seconds between two reports of a process."""

MOST_BUCKETS = 10_000
"""Callers whose buckets a process holds; beyond it the one that was made first is forgotten."""

_TIMEOUT_S = 1.0
_REPORTED_SHARE = 10
_PENDING = 256
"""Reports to Redis at a time."""

_REPORT = """
local rate, burst, used = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local held = redis.call('HMGET', KEYS[1], 'level', 'at')
local level = burst
if held[1] then level = math.min(burst, held[1] + math.max(0, now - held[2]) * rate) end
level = level - used
redis.call('HSET', KEYS[1], 'level', string.format('%.6f', level), 'at', string.format('%.6f', now))
redis.call('EXPIRE', KEYS[1], math.ceil((burst - level) / rate) + 1)
return string.format('%.6f', level)
"""


class Bucket:
    """One caller's bucket in this process.

    Args:
        key: its key in Redis.
        limit: its rate and size.

    Attributes:
        taken: calls that Redis does not know of.
    """

    __slots__ = ("_at", "_level", "key", "limit", "taken")

    def __init__(self, key: str, limit: Limit) -> None:
        self.key = key
        self.limit = limit
        self.taken = 0
        self._level, self._at = float(limit.burst), monotonic()

    def take(self) -> float:
        """Take one call; returns 0, or the seconds until the next one where the bucket is empty."""
        now = monotonic()
        self._level = min(self.limit.burst, self._level + (now - self._at) * self.limit.per_second)
        self._at = now
        if self._level < 1:
            return (1 - self._level) / self.limit.per_second
        self._level -= 1
        self.taken += 1
        return 0.0

    def correct(self, level: float) -> None:
        """Take over what Redis holds, less what was taken since the report."""
        self._level, self._at = level - self.taken, monotonic()


class Limits:
    """The buckets of one process. Not thread-safe: all calls come from one event loop.

    Args:
        redis_url: the Redis that the processes share.
    """

    def __init__(self, redis_url: str) -> None:
        self._url = redis_url
        self._buckets: dict[str, Bucket] = {}
        self._used: set[Bucket] = set()
        self._due, self._soon = asyncio.Event(), asyncio.Event()

    def bucket(self, caller: str, limit: Limit) -> Bucket:
        """The bucket of a caller; a new one where the limit has changed."""
        bucket = self._buckets.get(caller)
        if bucket is None or bucket.limit != limit:
            # A subject may identify a person, so Redis gets its digest.
            name = hashlib.sha256(caller.encode()).hexdigest()[:32]
            bucket = self._buckets[caller] = Bucket(f"access:{name}:{limit.per_second:g}:{limit.burst}", limit)
            if len(self._buckets) > MOST_BUCKETS:
                del self._buckets[next(iter(self._buckets))]
        return bucket

    def take(self, bucket: Bucket) -> float:
        """Take one call from a bucket; returns 0, or the seconds until the next one."""
        wait_s = bucket.take()
        if not wait_s:
            if bucket.taken == 1:
                self._used.add(bucket)
                self._due.set()
            if bucket.taken * _REPORTED_SHARE >= bucket.limit.burst:
                self._soon.set()
        return wait_s

    async def follow(self) -> None:
        """Report to Redis what was taken, until cancelled."""
        client = connect_async(self._url)
        answered = True
        try:
            while True:
                await self._due.wait()
                with suppress(TimeoutError):
                    async with asyncio.timeout(INTERVAL_S):
                        await self._soon.wait()
                self._due.clear()
                self._soon.clear()
                used, self._used = list(self._used), set()
                try:
                    for start in range(0, len(used), _PENDING):
                        async with asyncio.timeout(_TIMEOUT_S):
                            await asyncio.gather(*(_report(client, each) for each in used[start : start + _PENDING]))
                    answered = True
                except (RedisError, OSError) as error:
                    if answered:
                        log.warning("rate limits: Redis does not answer (%s): each process limits by itself", error)
                    answered = False
                    await asyncio.sleep(INTERVAL_S)
        finally:
            await client.aclose()


async def _report(client: AsyncClient, bucket: Bucket) -> None:
    # What Redis does not learn of is forgotten: reported after an outage, it would block the caller for as long.
    taken, bucket.taken = bucket.taken, 0
    rate, burst = bucket.limit
    level = await client.eval(_REPORT, 1, bucket.key, str(rate), str(burst), str(taken))
    bucket.correct(float(level))
