"""The seen filters of a sample of users: how full they are, and how often they are wrong about unseen items.

The sidecar measures one user in 256 while it applies their events. This is a look at users now, whether or not they
have done something: items that neither the log of the release nor the history in Redis has are asked of the filter.
"""

from dataclasses import dataclass

import numpy as np
from starlette.concurrency import run_in_threadpool

from winnow.bloom.seen import FALSE_POSITIVE_RATE, SeenFilter
from winnow.explorer.base.items import OpenedRelease
from winnow.explorer.base.stack import Stack
from winnow.items.arrays import hashes_of
from winnow.store.history import KEPT
from winnow.store.shared_state import state_of

USERS = 64
PROBES = 500
"""Items that each user's filter is asked for."""


@dataclass(frozen=True)
class FilterSample:
    """The measurement.

    Attributes:
        users: that were read and have a filter.
        without: that have none.
        unreadable: whose filter has an invalid format.
        probes: unseen items that were asked for.
        false_positives: those that a filter reported as seen.
        fill: mean of items by capacity in the newest window, over the users; ``None`` without users.
        fullest: the largest.
        bits: mean share of the set bits.
        kilobytes: mean size.
        bound: on the share of false positives.
    """

    users: int = 0
    without: int = 0
    unreadable: int = 0
    probes: int = 0
    false_positives: int = 0
    fill: float | None = None
    fullest: float = 0.0
    bits: float = 0.0
    kilobytes: float = 0.0
    bound: float = FALSE_POSITIVE_RATE

    @property
    def rate(self) -> float | None:
        """Share of false positives; ``None`` where nothing was asked for."""
        return self.false_positives / self.probes if self.probes else None


async def sample(stack: Stack, release: OpenedRelease) -> FilterSample:
    """Measure users from all parts of the release.

    Args:
        stack: the stack.
        release: the served release.

    Raises:
        RedisError: Redis does not answer.
    """
    rows = np.unique(np.linspace(0, release.users - 1, min(USERS, release.users)).astype(np.int64))
    if not release.users:
        return FilterSample()
    ids = [str(release.release.array("user_ids")[row]) for row in rows]
    state = state_of(release.release)
    pipe = stack.redis.pipeline(transaction=False)
    for user_id in ids:
        pipe.get(state.seen(user_id))
        pipe.lrange(state.history(user_id), 0, KEPT - 1)
    answers = await pipe.execute()
    return await run_in_threadpool(_measure, release, rows.tolist(), answers[::2], answers[1::2])


def _measure(
    release: OpenedRelease, rows: list[int], filters: list[bytes | None], histories: list[list[bytes]]
) -> FilterSample:
    offsets, taken = release.release.array("offsets"), release.release.array("item")
    hashes, count = hashes_of(release.release), release.release.items
    random = np.random.default_rng()
    probes = false_positives = unreadable = 0
    fills: list[float] = []
    bits: list[float] = []
    sizes: list[int] = []
    for row, packed, history in zip(rows, filters, histories, strict=True):
        if packed is None:
            continue
        try:
            seen = SeenFilter.from_bytes(packed)
        except ValueError:
            unreadable += 1
            continue
        windows = seen.windows
        fills.append(windows[max(windows)].fill if windows else 0.0)
        bits.append(
            sum(each.bits[1] for each in windows.values()) / max(1, sum(each.bits[0] for each in windows.values()))
        )
        sizes.append(len(packed))
        known = {int(item) for item in taken[offsets[row] : offsets[row + 1]]}
        known |= {release.find(entry.decode().split("|", 2)[2]) for entry in history}
        asked = np.unique(random.integers(1, count + 1, PROBES).astype(np.int32)) if count else np.zeros(0, np.int32)
        asked = asked[~np.isin(asked, list(known))]
        probes += len(asked)
        false_positives += int(seen.contains(asked, hashes).sum()) if len(asked) else 0
    return FilterSample(
        len(fills),
        sum(each is None for each in filters),
        unreadable,
        probes,
        false_positives,
        float(np.mean(fills)) if fills else None,
        max(fills, default=0.0),
        float(np.mean(bits)) if bits else 0.0,
        float(np.mean(sizes)) / 1000 if sizes else 0.0,
    )
