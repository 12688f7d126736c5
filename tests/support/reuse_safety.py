"""Events, requests and take-downs in any order: what a reused answer must never show."""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.funnel.runner import Runner
from tests.support.sidecar.user_events import event
from winnow.feedback.append import AppendOptions, append
from winnow.release import Release
from winnow.request import Answer, RecommendRequest

_FIRST_MS = 1_900_000_000_000


@dataclass(frozen=True)
class Transformer:
    """A funnel and its store, as one transformer process has them.

    Attributes:
        runner: the funnel.
        store: its store.
    """

    runner: Runner
    store: OnlineStore

    async def ask(self, user_id: str, request_id: str | None = None, **fields: Any) -> Answer:
        """The answer to one request."""
        request = RecommendRequest.model_validate({"user_id": user_id, **fields})
        [query] = await self.runner.admit([request], request_id or uuid4().hex)
        return await self.runner.recommend(query)


@dataclass
class Interleaved:
    """What happened.

    Attributes:
        violations: every item that was shown although its user had seen it or it was taken down, with its answer's age.
        requests: number of answers.
        reused: number of those that were reused.
        events: number of acknowledged events.
        taken_down: number of items taken down.
    """

    violations: list[str] = field(default_factory=list)
    requests: int = 0
    reused: int = 0
    events: int = 0
    taken_down: int = 0


async def interleave(release: Release, transformers: Sequence[Transformer], steps: int, seed: int) -> Interleaved:
    """Draw events, requests, take-downs and returns, each for one of few users at one of the transformers.

    Every event is sent by one transformer and followed by requests at any. Items go and return, so that the catalog
    does not run out.

    Args:
        release: the published release of both; its rows are restored at the end.
        transformers: must read rows at every request (``row_ttl_s`` 0), because an item that was taken down must not be
            in the next answer.
        steps: number of events, requests and take-downs together.
        seed: of the draws.
    """
    draw, result = random.Random(seed), Interleaved()
    known = release.array("user_ids")[:3].tolist()
    users = [*known, f"stranger-{seed}-1", f"stranger-{seed}-2"]
    log, ids, offsets = release.array("item"), release.strings("item_ids"), release.array("offsets")
    seen: dict[str, set[str]] = defaultdict(set)
    for row, user in enumerate(known):
        seen[user] = {str(ids[index]) for index in log[offsets[row] : offsets[row + 1]]}
    last: dict[str, list[str]] = {}
    hidden: list[str] = []
    store = transformers[0].store

    async def set_available(item_id: str, available: bool) -> None:
        [index] = store.catalog.indices([item_id]).tolist()
        row = release.array("item_rows")[index].copy()
        row["available"] = available
        await store.client.set(store.keys.item(item_id), row.tobytes())

    for step in range(steps):
        user, transformer, kind = draw.choice(users), draw.choice(transformers), draw.random()
        if kind < 0.25 and last.get(user):
            item_id = draw.choice(last[user])
            sent = event(user, item_id, release.schema.events[0], _FIRST_MS + step)
            await append(transformer.store.client, [sent], AppendOptions())
            seen[user].add(item_id)
            result.events += 1
        elif kind < 0.3 and last.get(user):
            item_id = draw.choice(last[user])
            if item_id not in hidden:
                await set_available(item_id, False)
                hidden.append(item_id)
                result.taken_down += 1
            if len(hidden) > 20:
                await set_available(hidden.pop(0), True)
        else:
            answer = await transformer.ask(user)
            last[user] = [item["item_id"] for item in answer["items"]]
            result.requests += 1
            result.reused += "reused_ms" in answer
            result.violations += [
                f"step {step}: {user} was shown {item_id}, {answer.get('reused_ms', 'computed')}"
                for item_id in last[user]
                if item_id in seen[user] or item_id in hidden
            ]
    for item_id in hidden:
        await set_available(item_id, True)
    return result
