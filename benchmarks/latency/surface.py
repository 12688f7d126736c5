"""What each kind of request costs beside a plain one: p50 over HTTP v1 with one connection.

Every kind alternates with a plain request for the same number of items of another user, so that a noisy machine affects
both alike. To add a kind, add a line to :data:`CALLS`.
"""

import http.client
import json
import random
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

import numpy as np

from benchmarks.common.rows import Row, row
from benchmarks.common.stack import active_users, newest, serving
from winnow.errors import WinnowError
from winnow.ports import LOOPBACK
from winnow.protocols import Instance
from winnow.release import Release

K = 10
ROUNDS = 150
WARM_UP = 20
NOW = time.time_ns() // 1_000_000


class Drawn:
    """Draws users, items and categories of a release, from a fixed seed.

    Args:
        release: the release.
        ask: answers a request, for those that follow from an answer; it is not measured.
    """

    def __init__(self, release: Release, ask: Callable[[Instance], Any]) -> None:
        self.ask = ask
        self.draw = random.Random(18)  # noqa: S311
        self.users = active_users(release, 500)
        self.items: list[str] = release.strings("item_ids")[1:].tolist()
        # Code 0 is "no category".
        self.categories: list[str] = release.vocabularies["category"][1:]

    def user(self) -> str:
        """A user with a history."""
        return self.draw.choice(self.users)

    def item(self) -> str:
        """An item."""
        return self.draw.choice(self.items)

    def category(self) -> str:
        """A category; "" in a catalog without any, which the endpoint refuses."""
        return self.draw.choice(self.categories) if self.categories else ""

    def second_page(self) -> Instance:
        """The page after one that was just answered."""
        user = self.user()
        return {"user_id": user, "recommendation_id": self.ask({"user_id": user})["recommendation_id"]}

    def session(self, count: int) -> list[Instance]:
        """The events of a session, a minute between each two."""
        return [{"item_id": self.item(), "timestamp": NOW - 60_000 * n} for n in range(count, 0, -1)]


CALLS: Mapping[str, Callable[[Drawn], Instance]] = {
    "session of 10": lambda one: {"items": one.session(10)},
    "session of 200": lambda one: {"items": one.session(200)},
    "session of 10 of a user": lambda one: {"items": one.session(10), "user_id": one.user()},
    "similar": lambda one: {"like": one.item()},
    "similar, 100 items": lambda one: {"like": one.item(), "k": 100},
    "similar, in a category": lambda one: {"like": one.item(), "filters": {"categories": [one.category()]}},
    "similar, to a user's taste": lambda one: {"like": one.item(), "user_id": one.user()},
    "complementary": lambda one: {"like": one.item(), "relation": "complementary"},
    "complementary, to a user's taste": lambda one: {
        "like": one.item(),
        "relation": "complementary",
        "user_id": one.user(),
    },
    "rank 100": lambda one: {"rank": one.draw.sample(one.items, min(100, len(one.items))), "user_id": one.user()},
    "rank 500": lambda one: {"rank": one.draw.sample(one.items, min(500, len(one.items))), "user_id": one.user()},
    "list popular": lambda one: {"list": "popular"},
    "list popular, of a category": lambda one: {"list": "popular", "filters": {"categories": [one.category()]}},
    "list trending": lambda one: {"list": "trending"},
    "list new": lambda one: {"list": "new"},
    "list last_seen": lambda one: {"list": "last_seen", "user_id": one.user()},
    "filtered": lambda one: {"user_id": one.user(), "filters": {"where": f"price < {one.draw.randint(5, 500)}"}},
    "with boosts": lambda one: {"user_id": one.user(), "boosts": [{"where": "price < 20", "factor": 2.0}]},
    "with caps": lambda one: {"user_id": one.user(), "caps": {"category": 2}},
    "with pins": lambda one: {"user_id": one.user(), "pins": [{"item_id": one.item(), "position": 0}]},
    "with reasons": lambda one: {"user_id": one.user(), "reasons": True},
    "second page": lambda one: one.second_page(),
    "plain, 100 items": lambda one: {"user_id": one.user(), "k": 100},
    "plain, 500 items": lambda one: {"user_id": one.user(), "k": 500},
}
"""Name of a kind of request -> draws one."""


def measure() -> list[Row]:
    """Serve the newest release on a stack of its own and measure every kind.

    Raises:
        WinnowError: there is no release, or a request is refused.
    """
    served = newest()
    rows = []
    with serving(served) as ports, closing(http.client.HTTPConnection(LOOPBACK, ports.http)) as endpoint:
        drawn = Drawn(served, lambda instance: json.loads(_answer(endpoint, instance))["predictions"][0])
        for name, call in CALLS.items():
            if "category" in name and not drawn.categories:
                continue
            times = _alternating(endpoint, {name: call, "plain": lambda one: {"user_id": one.user()}}, drawn)
            plain = times["plain"]
            rows.append(row(f"{name}: p50", times[name], "ms"))
            rows.append(row(f"{name}: beside a plain request of {K} ({plain:.2f} ms)", times[name] / plain, "x"))
    return rows


def _alternating(
    endpoint: http.client.HTTPConnection, calls: Mapping[str, Callable[[Drawn], Instance]], drawn: Drawn
) -> dict[str, float]:
    """The median milliseconds of each kind; the first requests do not count."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(WARM_UP + ROUNDS):
        for name, call in calls.items():
            # With the time that a busy machine needs, so that no answer is a fallback's.
            instance = {"deadline_ms": 5000} | call(drawn)
            started = time.perf_counter()
            _answer(endpoint, instance)
            if number >= WARM_UP:
                times[name].append((time.perf_counter() - started) * 1000)
    return {name: float(np.median(taken)) for name, taken in times.items()}


def _answer(endpoint: http.client.HTTPConnection, instance: Instance) -> bytes:
    endpoint.request("POST", "/v1/models/recommender:predict", json.dumps({"instances": [instance]}))
    response = endpoint.getresponse()
    text = response.read()
    if response.status != 200:
        raise WinnowError(f"{response.status}: {text.decode()[:200]}")
    return text
