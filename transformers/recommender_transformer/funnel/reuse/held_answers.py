"""Holds the answers of the last seconds, and reuses one for a request for which the funnel would compute it again.

An answer's key is a digest of what it was computed from: the request, the bytes that Redis holds of the user, the
business rules in force, and the catalog with its new items. Every request reads the user anyway, in the funnel's first
round trip, so an event of the user, whichever process acknowledged it, leads to another key: no process has to tell
another one, and there is no version that could be missed, lost or expire. All users without any data share the answers
of one such user. The weights in force and the rows of the shown items are compared when an answer is reused, as fresh
as they are for a computed one.

What is not compared (other items' rows, the trending list) is bounded by the age of the answer.
"""

import asyncio
import struct
import time
from hashlib import blake2b

from cachetools import TTLCache
from prometheus_client import Counter

from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.backends.stored_user import StoredUser
from recommender_transformer.funnel.business.business_rules import BusinessRules
from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.objectives import Objectives
from recommender_transformer.funnel.query import HeldAnswer, Query
from winnow.request import Answer
from winnow.store.connection import RedisError

MAX_REUSE_S = 60.0

HELD_ITEMS = 2**15
"""Shown items of all held answers together: some 30 MB, and more answers of 10 than a process computes in 5 seconds."""

_REFETCH_SHARE = 0.1
"""Share of the deadline for rows that are no longer cached; below that of the query hydrators, which would fail."""

_HELD_FORMS = ("plain", "like")

_REUSED = Counter("winnow_answers_reused_total", "Answers that were reused instead of computed.")


class HeldAnswers:
    """A cache of answers, bounded in items and in time; as a side effect it holds each answer that may be reused.

    Degraded and late answers are not held: the next one may be complete. Neither are those with a trace, which tells
    what one request did, nor those of queries by content, which are large and rarely repeated. Of the other forms of
    requests, items related to an item are held, which a product page asks for again and again; sessions and callers'
    own lists are rarely sent twice, and a list that is shown as it is costs little more than a held answer. An explored
    query takes no part: a held draw would be shown to others who share the answer, and a query that reused an answer
    instead of its own draw would be explored less often than its propensity says.

    Args:
        store: gives the catalog and the rows of items.
        objectives: gives the weights in force.
        rules: gives the business rules in force.
        seconds: age up to which an answer is reused; 0 holds none.
    """

    name = "held_answers"

    def __init__(self, store: OnlineStore, objectives: Objectives, rules: BusinessRules, seconds: float) -> None:
        self._store = store
        self._rules = rules
        self._objectives = objectives
        self._enabled = seconds > 0
        self._held: TTLCache[bytes, HeldAnswer] = TTLCache(HELD_ITEMS, seconds, getsizeof=_size)

    async def reuse(self, query: Query, stored: StoredUser) -> bool:
        """Set ``query.reuse``: the key of the query's answer, and the held answer if there is one and it still holds.

        Args:
            query: the query.
            stored: what Redis holds of its user.

        Returns:
            Whether an answer is reused, so that the stages need not run.
        """
        request = query.request
        if not self._enabled or request.debug or request.query is not None or query.trace.degraded:
            return False
        if query.exploration.drawn or query.asked.session is not None or query.asked.form not in _HELD_FORMS:
            return False
        query.reuse.key = key = self._key(query, stored)
        held = self._held.get(key)
        if held is None or not self._has_same_weights(query, held) or not await self._has_same_rows(query, held.shown):
            return False
        query.reuse.answer = held
        query.user.state = held.user
        _REUSED.inc()
        return True

    def after(self, query: Query, answer: Answer, shown: Candidates) -> None:
        """Hold a computed answer."""
        key = query.reuse.key
        if key is None or query.reuse.answer is not None or answer["degraded"] or query.remaining_s < 0:
            return
        self._held[key] = HeldAnswer(
            answer["items"], shown, query.user.state.as_served, query.weights, time.monotonic()
        )

    def clear(self) -> None:
        """Hold no answers: one of them may be of a user who was erased."""
        self._held.clear()

    async def flush(self) -> None:
        """Nothing is pending."""

    def _key(self, query: Query, stored: StoredUser) -> bytes:
        """A digest of what the answer depends on."""
        # Users without data differ in nothing: the draws of the filter `unlikely` need a seen filter.
        user_id = "" if stored.is_unknown else query.request.user_id or ""
        # With what the user's arms set, so that users of different arms share no answer; the arms are not part of one.
        request = query.request.model_dump_json(exclude={"user_id"})
        parts = (user_id.encode(), request.encode(), stored.digest)
        catalog = self._store.catalog
        values = 0 if query.wanted is None and query.rules is None else catalog.columns.changes
        sizes = struct.pack("<6q", catalog.changes, values, self._rules.serial, *map(len, parts))
        return blake2b(sizes + b"".join(parts), digest_size=16).digest()

    def _has_same_weights(self, query: Query, held: HeldAnswer) -> bool:
        """Whether the answer was computed with the weights in force; false while the live ones have to be read."""
        current = self._objectives.weights(query.request)
        return not self._objectives.expired and current.tobytes() == held.weights.tobytes()

    async def _has_same_rows(self, query: Query, shown: Candidates) -> bool:
        """Whether the rows of the shown items are those that the answer was computed from."""
        rows = self._store.cached_rows(shown.items)
        if rows is None:
            try:
                async with asyncio.timeout(_REFETCH_SHARE * query.deadline_s):
                    rows, has_row = await self._store.item_rows(shown.items)
            except (RedisError, OSError):
                return False
            if not has_row.all():
                return False
        # By their bytes: a missing number is NaN, which differs from itself.
        return rows.tobytes() == shown.rows.tobytes()


def _size(held: HeldAnswer) -> int:
    """Its items, and one for what every answer has."""
    return len(held.items) + 1
