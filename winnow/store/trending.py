"""The trending list: time-decayed item counts, maintained by all sidecars of a release together.

The counts use forward decay (Cormode, Shkapenyuk, Srivastava, Xu: Forward Decay, 2009): an event's weight grows with
its distance from a fixed reference time, and stored counts are never decayed. Increments therefore commute: sidecars
add them concurrently and in any order. The reference time is the creation of the release; with a half-life of a week,
a float64 overflows nineteen years later.

An event without a positive value adds nothing. The list says what is wanted, and with negative counts a few users could
take an item off everyone's list; those who refuse it are answered by their own filters and the ranker. Counts that only
grow also stay right when all but the largest are dropped.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from winnow.release import Manifest, Release
from winnow.schema import DAY_MS, HALF_LIVES
from winnow.store.connection import Client
from winnow.store.keys import EVENTS, Keys

HALF_LIFE_MS = HALF_LIVES["popularity_7d"] * DAY_MS
"""Half-life of the counts; equal to that of the release's popular list, which the trending list continues."""

KEPT = 10_000
"""Maximum number of counted items (1 MB); items below that rank are far from the list."""

REFRESH_MS = 3_000
"""Interval at which the list is rewritten, and therefore duration of the lease."""

_AT_ONCE = 1_000_000
"""Events of the log that are counted at once, 50 MB."""

_COUNT = """
local counted = 0
for position = 2, #ARGV, 3 do
  if redis.call('XACK', KEYS[1], ARGV[1], ARGV[position]) == 1 and ARGV[position + 1] ~= '' then
    redis.call('ZINCRBY', KEYS[2], ARGV[position + 2], ARGV[position + 1])
    counted = counted + 1
  end
end
return counted
"""
"""Counts an entry only when this call acknowledges it, so an event that is applied twice is counted once."""


class Done(NamedTuple):
    """A processed entry of the event stream, to be acknowledged and counted.

    Attributes:
        stream_id: id of the entry.
        item: index of the item to count; 0 for none.
        increment: increment of the item's count, from :func:`increment`.
    """

    stream_id: bytes
    item: int = 0
    increment: float = 0.0


def created_ms(manifest: Manifest) -> int:
    """When the release was built, in milliseconds since the epoch: the reference time of the increments."""
    return int(manifest.created_at.timestamp() * 1000)


def increment(weight: float, at_ms: int, created: int) -> float:
    """The increment of an item's count for an event.

    Args:
        weight: value of the event, positive: see :meth:`winnow.schema.FeatureSchema.value_of`.
        at_ms: time of the event, in milliseconds since the epoch.
        created: reference time of the release, from :func:`created_ms`.
    """
    return float(weight * 2.0 ** ((at_ms - created) / HALF_LIFE_MS))


def acknowledge(client: Client, release: int, done: Sequence[Done]) -> int:
    """Acknowledge entries and count their items, each once even if several sidecars acknowledge it.

    Returns:
        The number of entries counted by this call.

    Raises:
        RedisError: Redis does not answer.
    """
    if not done:
        return 0
    arguments: list[bytes | str] = [Keys(release).group]
    for stream_id, item, weight in done:
        arguments += [stream_id, str(item) if item else "", repr(weight)]
    return int(client.eval(_COUNT, 2, EVENTS, Keys(release).counts, *arguments))


def initial_counts(release: Release) -> dict[int, float]:
    """The counts of the most wanted items, from the release's own log as if it ended when the release was built."""
    items, events, times, grades = (release.array(name) for name in ("item", "event", "timestamp", "grade"))
    values = release.schema.value_by_code
    counts = np.zeros(release.items + 1)
    for start in range(0, len(items), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        # Below 2**-1000 the weight is negligible; the bound avoids an underflow.
        ages = np.maximum((np.asarray(times[part]) - release.manifest.as_of) / HALF_LIFE_MS, -1000.0)
        decayed = np.maximum(values[events[part]] * grades[part], 0.0) * np.exp2(ages)
        counts += np.bincount(items[part], decayed, minlength=len(counts))
    best = np.argsort(-counts, kind="stable")[:KEPT]
    best = best[(counts[best] > 0) & (best > 0)]
    return dict(zip(best.tolist(), counts[best].tolist(), strict=True))


def seed(client: Client, keys: Keys, counts: Mapping[int, float]) -> None:
    """Replace the counts of a release.

    Raises:
        RedisError: Redis does not answer.
    """
    client.delete(keys.counts)
    if counts:
        client.zadd(keys.counts, {str(item): count for item, count in counts.items()})


def refresh(client: Client, release: int, popular: NDArray[np.int32], name: str) -> bool:
    """Rewrite the trending list from the counts, unless another sidecar holds the lease.

    Args:
        client: connection to Redis that returns bytes.
        release: number of the release.
        popular: item indices, best first, that fill up the list; the list is as long as this array.
        name: name of this sidecar, stored as the holder of the lease.

    Returns:
        Whether this call rewrote the list.

    Raises:
        RedisError: Redis does not answer.
    """
    keys = Keys(release)
    if not client.set(keys.lease, name, nx=True, px=REFRESH_MS):
        return False
    pipe = client.pipeline(transaction=False)
    pipe.zremrangebyrank(keys.counts, 0, -KEPT - 1)
    pipe.zrevrange(keys.counts, 0, len(popular) - 1)
    _, counted = pipe.execute()
    best = np.array([int(item) for item in counted], dtype="<i4")
    listed = np.concatenate([best, popular[~np.isin(popular, best)].astype("<i4")])[: len(popular)]
    client.set(keys.trending, listed.astype("<i4").tobytes())
    return True
