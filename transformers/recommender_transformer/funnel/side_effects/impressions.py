"""What was shown, and the features it was chosen by, written down after the answer has left."""

import asyncio
import logging
from collections import deque
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray
from prometheus_client import Counter

from recommender_transformer.backends.online import OnlineStore
from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.query import Query
from winnow.feedback import impressions
from winnow.feedback.impressions import Served
from winnow.request import Answer, RecommendedItem
from winnow.store.connection import RedisError
from winnow.store.keys import EXPORTED, IMPRESSIONS

log = logging.getLogger(__name__)

_WAIT_S = 0.05
"""Impressions of this long travel together, out of the way of the requests."""

_PATIENCE_S = 5.0
_PENDING = 10_000
_KEPT = 200_000
"""Length to which the stream is trimmed, about."""

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
"""Trims a hundred entries or more at a time; says how many of them nobody had exported."""

_LOST = Counter("winnow_impressions_lost_total", "Impressions that could not be written.")
_TRIMMED = Counter(
    "winnow_impressions_trimmed_total", "Impressions that were trimmed before `winnow events export` had read them."
)


class _Shown(NamedTuple):
    """All that an entry is made of, and no more: many wait where Redis is slow, and a trace or a filter is large."""

    now_ms: int
    request_id: str
    user_id: str | None
    release: int
    items: list[RecommendedItem]
    degraded: list[str]
    propensity: NDArray[np.float32]
    served: Served


class Impressions:
    """Appends each answer to the ``impressions`` stream, in the background and in batches."""

    name = "impressions"

    def __init__(self, store: OnlineStore) -> None:
        self._store = store
        self._pending: deque[_Shown] = deque()
        self._writing: asyncio.Task[None] | None = None

    def after(self, query: Query, answer: Answer, shown: Candidates) -> None:
        """Take note; all else happens later."""
        if len(self._pending) >= _PENDING:
            _LOST.inc()
            return
        self._pending.append(
            _Shown(
                query.now_ms,
                answer["request_id"],
                answer["user_id"],
                answer["release"],
                answer["items"],
                answer["degraded"],
                shown.propensity,
                Served(shown.rows, query.state.row, query.state.history),
            )
        )
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write())

    async def flush(self) -> None:
        """Wait until what is pending has been written."""
        if self._writing is not None:
            await self._writing

    async def _write(self) -> None:
        while self._pending:
            await asyncio.sleep(_WAIT_S)
            batch = [self._pending.popleft() for _ in range(len(self._pending))]
            pipe = self._store.client.pipeline(transaction=False)
            for shown in batch:
                pipe.xadd(IMPRESSIONS, _entry(shown))
            pipe.eval(_TRIM, 2, IMPRESSIONS, EXPORTED, _KEPT)
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    *_, unexported = await pipe.execute()
                _TRIMMED.inc(unexported)
            except (RedisError, OSError) as error:
                _LOST.inc(len(batch))
                log.warning("%d impressions lost: %s", len(batch), error)


def _entry(shown: _Shown) -> dict[Any, Any]:
    """One entry of the stream."""
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
        "user_id": shown.user_id or "",
        "release": shown.release,
        "timestamp": shown.now_ms,
        "items": orjson.dumps(items),
        "degraded": orjson.dumps(shown.degraded),
        "features": impressions.digest(shown.served),
        **(impressions.encode(shown.served) if impressions.sampled(shown.request_id) else {}),
    }
