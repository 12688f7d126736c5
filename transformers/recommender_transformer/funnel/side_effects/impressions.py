"""Logs each answer, with the features that its items were scored by, to the ``impressions`` stream in Redis."""

import asyncio
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray
from prometheus_client import Counter

from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.query import Query
from winnow.feedback import impressions
from winnow.feedback.impressions import PLAIN, Served
from winnow.fields import QUOTED
from winnow.forms.combinations import FormName
from winnow.request import Answer, RecommendedItem
from winnow.settings.business_rules import Fatigue
from winnow.store.business.shown import remember
from winnow.store.connection import RedisError
from winnow.store.keys import EXPORTED, IMPRESSIONS, unlogged

log = logging.getLogger(__name__)

_WAIT_S = 0.05
"""Impressions are collected for this long and written in one pipeline, so that requests do not compete with writes."""

_TIMEOUT_S = 5.0
_MAX_PENDING = 10_000
_MAX_LENGTH = 200_000
"""Approximate length to which the stream is trimmed."""

_TRIM = """
local unexported = 0
while true do
  local over = redis.call('XLEN', KEYS[1]) - tonumber(ARGV[1])
  if over < 100 then return unexported end
  local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', math.min(over, 1000) + 1)
  local kept = oldest[#oldest][1]
  local exported = redis.call('GET', KEYS[2]) or '0-0'
  unexported = unexported + #redis.call('XRANGE', KEYS[1], '(' .. exported, '(' .. kept)
  redis.call('XTRIM', KEYS[1], 'MINID', kept)
end
"""
"""Trims at least a hundred entries at a time; returns the number of trimmed entries that were not exported yet."""

_APPEND = """
local at = 1
for entry = 2, #KEYS do
  local length = tonumber(ARGV[at])
  if redis.call('EXISTS', KEYS[entry]) == 0 then
    redis.call('XADD', KEYS[1], '*', unpack(ARGV, at + 1, at + length))
  end
  at = at + 1 + length
end
"""
"""Appends impressions, but not those of users who were erased after they were shown.

For each there is a key, which exists for an erased user, and the number of its arguments before these.
"""

_TOGETHER = 64
"""Impressions that one call of the script appends, during which Redis answers no reader."""

_LOST = Counter("winnow_impressions_lost_total", "Impressions that could not be written to Redis.")
_TRIMMED = Counter(
    "winnow_impressions_trimmed_total", "Impressions trimmed from the stream before `winnow events export` read them."
)


class _Impression(NamedTuple):
    """The fields of an entry only: many are pending while Redis is slow, and traces and filters are large."""

    now_ms: int
    request_id: str
    recommendation_id: str
    first: int
    user_id: str | None
    release: int
    items: list[RecommendedItem]
    degraded: list[str]
    arms: Mapping[str, str]
    form: FormName
    propensity: NDArray[np.float32]
    served: Served
    fatigue: Fatigue | None


class Impressions:
    """Appends each answer to the ``impressions`` stream, in batches, in a background task.

    Where a rule of fatigue applies, the same pipeline counts the items as shown to the user.

    Args:
        store: gives the Redis client.
    """

    name = "impressions"

    def __init__(self, store: OnlineStore) -> None:
        self._store = store
        self._pending: deque[_Impression] = deque()
        self._writing: asyncio.Task[None] | None = None

    def after(self, query: Query, answer: Answer, shown: Candidates) -> None:
        """Append to the pending impressions; beyond the bound the impression is dropped and counted as lost."""
        if len(self._pending) >= _MAX_PENDING:
            _LOST.inc()
            return
        self._pending.append(
            _Impression(
                query.now_ms,
                answer["request_id"],
                answer["recommendation_id"][:QUOTED],
                query.page.first,
                answer["user_id"],
                answer["release"],
                answer["items"],
                answer["degraded"],
                query.arms,
                query.asked.form,
                shown.propensity,
                Served(shown.rows, query.user.state.row, query.user.state.history),
                None if query.rules is None else query.rules.fatigue,
            )
        )
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write())

    async def flush(self) -> None:
        """Wait until the pending impressions are written."""
        if self._writing is not None:
            await self._writing

    async def _write(self) -> None:
        while self._pending:
            await asyncio.sleep(_WAIT_S)
            batch = [self._pending.popleft() for _ in range(len(self._pending))]
            pipe = self._store.client.pipeline(transaction=False)
            for start in range(0, len(batch), _TOGETHER):
                pipe.eval(_APPEND, *_arguments(batch[start : start + _TOGETHER]))
            for impression in batch:
                if impression.fatigue is not None and impression.user_id is not None and impression.items:
                    item_ids = [item["item_id"] for item in impression.items]
                    half_life = impression.fatigue.half_life_hours
                    remember(pipe, impression.user_id, item_ids, impression.now_ms, half_life)
            pipe.eval(_TRIM, 2, IMPRESSIONS, EXPORTED, _MAX_LENGTH)
            try:
                async with asyncio.timeout(_TIMEOUT_S):
                    *_, unexported = await pipe.execute()
                _TRIMMED.inc(unexported)
            except (RedisError, OSError) as error:
                _LOST.inc(len(batch))
                log.warning("%d impressions lost: %s", len(batch), error)


def _arguments(batch: Sequence[_Impression]) -> list[Any]:
    """The number of keys, the keys and the arguments of :data:`_APPEND`."""
    # No user has the id "", which stands for a request without a user.
    keys = [IMPRESSIONS, *(unlogged(shown.user_id or "") for shown in batch)]
    values: list[Any] = []
    for entry in map(_entry, batch):
        values.append(2 * len(entry))
        values += chain.from_iterable(entry.items())
    return [len(keys), *keys, *values]


def _entry(shown: _Impression) -> dict[Any, Any]:
    """The fields of a stream entry."""
    items = [
        {
            "item_id": item["item_id"],
            "position": item["position"],
            "score": item["score"],
            "propensity": propensity,
            "sources": item["sources"],
        }
        for item, propensity in zip(shown.items, shown.propensity.tolist(), strict=True)
    ]
    return {
        "request_id": shown.request_id,
        "recommendation_id": shown.recommendation_id,
        "user_id": shown.user_id or "",
        "release": shown.release,
        "timestamp": shown.now_ms,
        "items": orjson.dumps(items),
        "degraded": orjson.dumps(shown.degraded),
        "features": impressions.digest(shown.served),
        # The position of the first item: 0 but for further pages.
        **({"first": shown.first} if shown.first else {}),
        **({"arms": orjson.dumps(shown.arms)} if shown.arms else {}),
        **({"form": shown.form} if shown.form != PLAIN else {}),
        **(impressions.encode(shown.served) if impressions.sampled(shown.request_id) else {}),
    }
