"""Events, requests and take-downs in any order: what a reused answer must never show."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.support.sidecar.user_events import event
from winnow.release import Release
from winnow.request import Answer
from winnow.store.connection import Client
from winnow.store.keys import Keys

_MOST_HIDDEN = 20


class Asked(Protocol):
    """A transformer, in this process or in its own."""

    async def ask(self, user_id: str) -> Answer:
        """Its answer for a user."""

    async def send(self, happened: dict[str, Any]) -> None:
        """Send it an event; returns once the event is acknowledged."""


@dataclass
class Interleaved:
    """What happened.

    Attributes:
        violations: each item that was shown although its user had seen it, or that had been taken down too long before.
        requests: number of answers.
        reused: number of those that were reused.
        events: number of acknowledged events.
        taken_down: number of items taken down.
        reused_s: seconds that each reused answer took.
    """

    violations: list[str] = field(default_factory=list)
    requests: int = 0
    reused: int = 0
    events: int = 0
    taken_down: int = 0
    reused_s: list[float] = field(default_factory=list)


async def interleave(
    release: Release, client: Client, transformers: Sequence[Asked], steps: int, seed: int, row_ttl_s: float = 0.0
) -> Interleaved:
    """Draw events, requests, take-downs and returns, each for one of few users at one of the transformers.

    Items that were taken down return after some time, so that the catalog does not run out.

    Args:
        release: the release that all transformers serve; its rows in Redis are restored at the end.
        client: connection to Redis.
        transformers: they share this Redis.
        steps: number of events, requests and take-downs together.
        seed: of the draws.
        row_ttl_s: seconds for which a transformer may show an item that was taken down.
    """
    draw, result, keys = random.Random(seed), Interleaved(), Keys(release.manifest.number)
    known: list[str] = release.array("user_ids")[:3].tolist()
    users = [*known, *(f"stranger-{seed}-{n}" for n in range(2))]
    ids, log, offsets = release.strings("item_ids"), release.array("item"), release.array("offsets")
    seen = {user: {ids[item] for item in log[offsets[row] : offsets[row + 1]]} for row, user in enumerate(known)}
    index = {item_id: position for position, item_id in enumerate(ids[:].tolist())}
    last: dict[str, list[str]] = {}
    hidden: dict[str, float] = {}

    def set_available(item_id: str, available: bool) -> None:
        row = release.array("item_rows")[index[item_id]].copy()
        row["available"] = available
        client.set(keys.item(item_id), row.tobytes())

    for _ in range(steps):
        user, transformer, kind = draw.choice(users), draw.choice(transformers), draw.random()
        if kind < 0.25 and user in last:
            item_id = draw.choice(last[user])
            await transformer.send(event(user, item_id, release.schema.events[0], time.time_ns() // 1_000_000))
            seen.setdefault(user, set()).add(item_id)
            result.events += 1
        elif kind < 0.3 and user in last:
            item_id = draw.choice(last[user])
            if item_id not in hidden:
                set_available(item_id, False)
                hidden[item_id] = time.monotonic()
                result.taken_down += 1
            if len(hidden) > _MOST_HIDDEN:
                returning = next(iter(hidden))
                del hidden[returning]
                set_available(returning, True)
        else:
            started = time.monotonic()
            answer = await transformer.ask(user)
            last[user] = [item["item_id"] for item in answer["items"]]
            result.requests += 1
            if "reused_ms" in answer:
                result.reused += 1
                result.reused_s.append(time.monotonic() - started)
            result.violations += [
                f"{user} was shown {item_id}: {answer}"
                for item_id in last[user]
                if item_id in seen.get(user, ()) or started - hidden.get(item_id, started) > row_ttl_s
            ]
    for item_id in hidden:
        set_available(item_id, True)
    return result
