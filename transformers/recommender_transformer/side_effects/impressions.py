"""What was shown, written down after the answer has left."""

import asyncio
import logging
from collections import deque
from typing import Any

import orjson
from prometheus_client import Counter

from recommender_transformer.candidates import Candidates
from recommender_transformer.query import Query
from winnow.request import Answer
from winnow.store import impressions
from winnow.store.connection import RedisError
from winnow.store.impressions import Served
from winnow.store.keys import IMPRESSIONS
from winnow.store.online import OnlineStore

log = logging.getLogger(__name__)

_WAIT_S = 0.05
"""Impressions of this long travel together, out of the way of the requests."""

_PENDING = 10_000
_KEPT = 200_000
"""Length to which the stream is trimmed, about."""

_LOST = Counter("winnow_impressions_lost_total", "Impressions that could not be written.")


class Impressions:
    """Appends each answer to the ``impressions`` stream, in the background and in batches."""

    name = "impressions"

    def __init__(self, store: OnlineStore) -> None:
        self._store = store
        self._pending: deque[tuple[int, Answer, Served]] = deque()
        self._writing: asyncio.Task[None] | None = None

    def after(self, query: Query, answer: Answer, shown: Candidates) -> None:
        """Take note; all else happens later."""
        if len(self._pending) >= _PENDING:
            _LOST.inc()
            return
        served = Served(shown.rows, query.state.row, query.state.history)
        self._pending.append((query.now_ms, answer, served))
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
            for now_ms, answer, served in batch:
                pipe.xadd(IMPRESSIONS, _entry(now_ms, answer, served), maxlen=_KEPT, approximate=True)
            try:
                await pipe.execute()
            except RedisError as error:
                _LOST.inc(len(batch))
                log.warning("%d impressions lost: %s", len(batch), error)


def _entry(now_ms: int, answer: Answer, served: Served) -> dict[Any, Any]:
    """One entry of the stream."""
    return {
        "request_id": answer["request_id"],
        "user_id": answer["user_id"] or "",
        "release": answer["release"],
        "timestamp": now_ms,
        "items": orjson.dumps([{"item_id": item["item_id"], "score": item["score"]} for item in answer["items"]]),
        "degraded": orjson.dumps(answer["degraded"]),
        "features": impressions.digest(served),
        **(impressions.encode(served) if impressions.sampled(answer["request_id"]) else {}),
    }
