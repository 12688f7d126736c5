"""How often a user was shown each item without a positive event of theirs: for fatigue.

A sorted set per user, in the user's hash slot and shared by all releases: member, the item's id; score, the second in
which the item was last shown and the number of showings in one number, so that the ranks are in the order of time and
one command drops the oldest. A showing is halved every half-life; as an exponential decay does not depend on when it is
applied, the number as of the last showing is all that is kept. It is written with the impressions and only while a rule
of fatigue is in force.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from winnow.erasures.tombstone import tombstone_key
from winnow.store import keys

KEPT = 200
"""Items per user: those shown last."""

_FORGOTTEN = 10
"""Half-lives after the last showing, after which a user's set expires: a showing then counts a thousandth."""

_STEP = 1024
"""Steps of a counted showing."""

_COUNTS = 1 << 20
"""Distinct counts: a score has the second above and the count below, 51 bits of the 53 that a double holds."""

_REMEMBER = f"""
local gone = redis.call('GET', KEYS[2])
if gone and tonumber(string.match(gone, '^%d+')) >= tonumber(ARGV[1]) then return end
local now, half = math.floor(tonumber(ARGV[1]) / 1000), tonumber(ARGV[2])
for position = 4, #ARGV do
  local score = redis.call('ZSCORE', KEYS[1], ARGV[position])
  local count, at = 1, now
  if score then
    local last = math.floor(tonumber(score) / {_COUNTS})
    count = 1 + (tonumber(score) - last * {_COUNTS}) / {_STEP} * 2 ^ (-math.max(now - last, 0) / half)
    at = math.max(now, last)
  end
  local steps = math.min(math.floor(count * {_STEP} + 0.5), {_COUNTS - 1})
  redis.call('ZADD', KEYS[1], string.format('%.0f', at * {_COUNTS} + steps), ARGV[position])
end
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, {-KEPT - 1})
redis.call('EXPIRE', KEYS[1], ARGV[3])
"""
"""A list that was shown before the user was erased or merged does not bring the set back."""


class Shown(NamedTuple):
    """What a user was shown.

    Attributes:
        item_ids: ids of the items in UTF-8.
        counts: float64 [n], showings as of the last one of each.
        seconds: float64 [n], seconds since the epoch of the last one.
    """

    item_ids: Sequence[bytes]
    counts: NDArray[np.float64]
    seconds: NDArray[np.float64]

    def at(self, now_ms: int, half_life_hours: float) -> NDArray[np.float64]:
        """float64 [n], the showings at a moment, in milliseconds since the epoch."""
        passed = np.maximum(now_ms / 1000 - self.seconds, 0.0)
        return np.asarray(self.counts * 0.5 ** (passed / (half_life_hours * 3600)), np.float64)


def remember(pipe: Any, user_id: str, item_ids: Iterable[str], now_ms: int, half_life_hours: float) -> None:
    """Queue the command that counts a list of items as shown.

    Args:
        pipe: a pipeline.
        user_id: the user.
        item_ids: the items, best first; the first :data:`KEPT` count.
        now_ms: when, milliseconds since the epoch.
        half_life_hours: in which a showing is halved.
    """
    half_s = half_life_hours * 3600
    counted = list(item_ids)[:KEPT]
    expiry = max(1, round(_FORGOTTEN * half_s))
    pipe.eval(_REMEMBER, 2, keys.shown(user_id), tombstone_key(user_id), now_ms, half_s, expiry, *counted)


def decode(members: Sequence[tuple[bytes, float]]) -> Shown:
    """Parse a user's set.

    Args:
        members: the result of ``ZRANGE … WITHSCORES``.
    """
    scores = np.array([score for _, score in members], np.float64)
    seconds = np.floor(scores / _COUNTS)
    return Shown([item_id for item_id, _ in members], (scores - seconds * _COUNTS) / _STEP, seconds)
