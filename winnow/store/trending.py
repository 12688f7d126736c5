"""What is trending: time-decayed counts of items that several sidecars keep together.

Forward decay (Cormode, Shkapenyuk, Srivastava, Xu: Forward Decay, 2009): an event weighs more the later it comes, by
its distance from a fixed moment, and nothing that is stored ever fades. Increments therefore commute, and whoever adds
them may do so in any order and from anywhere. The fixed moment is the release's creation: with a half-life of a week, a
float64 overflows nineteen years after it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from redis.client import Pipeline

from winnow.release import Manifest, Release
from winnow.schema import DAY_MS, HALF_LIVES
from winnow.store.connection import Client
from winnow.store.keys import EVENTS, Keys

HALF_LIFE_MS = HALF_LIVES["popularity_7d"] * DAY_MS
"""The one that the release's popular list is made with, so that the trending list starts where that one ends."""

KEPT = 10_000
"""Items counted at most: 1 MB. What falls below is far from any list."""

REFRESH_MS = 3_000
"""How often the list is rewritten, and so how long a lease lasts."""

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
"""An entry counts when it is acknowledged for the first time, so what is applied twice is counted once."""


class Done(NamedTuple):
    """An entry of the stream that needs nothing more than to be acknowledged and counted.

    Attributes:
        stream_id: its id.
        item: index of the item it counts for; 0 for none.
        increment: what it counts, of :func:`increment`.
    """

    stream_id: bytes
    item: int = 0
    increment: float = 0.0


def created_ms(manifest: Manifest) -> int:
    """When the release was made, milliseconds since the epoch: the moment that increments are measured from."""
    return int(manifest.created_at.timestamp() * 1000)


def increment(weight: float, at_ms: int, created: int) -> float:
    """What an event of ``weight`` at ``at_ms`` adds to its item's count, by the scale of a release."""
    return float(weight * 2.0 ** ((at_ms - created) / HALF_LIFE_MS))


def acknowledge(client: Client, release: int, done: Sequence[Done]) -> int:
    """Acknowledge entries and count their items, each once whoever else does so; returns how many counted.

    Raises:
        RedisError: Redis does not answer.
    """
    if not done:
        return 0
    arguments: list[bytes | str] = [Keys(release).group]
    for stream_id, item, weight in done:
        arguments += [stream_id, str(item) if item else "", repr(weight)]
    return int(client.eval(_COUNT, 2, EVENTS, Keys(release).counts, *arguments))


def seed(pipe: Pipeline, release: Release) -> None:
    """Start the counts with the release's own log, as if it ended when the release was made."""
    weights = np.array([0.0, *release.schema.event_weights])
    ages = np.asarray(release.array("timestamp")) - release.manifest.as_of
    # 2 to the power of less than -1000 is as good as nothing, and still a number.
    faded = weights[release.array("event")] * np.exp2(np.maximum(ages / HALF_LIFE_MS, -1000.0))
    counts = np.bincount(release.array("item"), faded)
    best = np.argsort(-counts, kind="stable")[:KEPT]
    best = best[(counts[best] > 0) & (best > 0)]
    key = Keys(release.manifest.number).counts
    pipe.delete(key)
    if len(best):
        pipe.zadd(key, dict(zip(map(str, best.tolist()), counts[best].tolist(), strict=True)))


def refresh(client: Client, release: int, popular: NDArray[np.int32], name: str) -> bool:
    """Rewrite the trending list from the counts, if nobody else is about to; returns whether it was done.

    Args:
        client: connection to Redis, answering bytes.
        release: number of the release.
        popular: item indices, best first, that complete a list too short; as many are listed.
        name: who does it.

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
