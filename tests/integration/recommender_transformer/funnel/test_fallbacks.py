"""The funnel degrades when a component is late, down or broken, and recovers by itself."""

import asyncio
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from recommender_transformer.backends import breaker
from recommender_transformer.backends.breaker import FAILURES, OPEN_S
from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.funnel import fallbacks
from recommender_transformer.funnel.runner import Runner
from recommender_transformer.pipeline import recommender
from tests.support.until import until
from winnow.local import redis as local_redis
from winnow.local.processes import Process
from winnow.ports import Ports
from winnow.release import Release
from winnow.request import Answer, RecommendRequest
from winnow.store.shared_state import state_of

Ask = Callable[..., Any]


@pytest.fixture
def together(published: Release, models: Any, redis_url: str) -> Callable[[Callable[[Ask], Any]], Any]:
    """Run several requests with one runner, which keeps its circuit breakers."""

    def run(talk: Callable[[Ask], Any]) -> Any:
        async def connected() -> Any:
            store = OnlineStore(published, redis_url)
            runner = Runner(recommender(published, store, models), store.cold_start_state, deadline_ms=400)

            async def ask(user_id: str = "user-3", **fields: Any) -> Answer:
                request = RecommendRequest(user_id=user_id, k=10, diversity=0.0, **fields)
                [query] = await runner.admit([request], "test")
                return await runner.recommend(query)

            try:
                return await talk(ask)
            finally:
                await runner.close()
                await store.close()

        return asyncio.run(connected())

    return run


class Redises:
    """A Redis that a test may kill, freeze, and restart on its port."""

    def __init__(self, folder: Path) -> None:
        self._port = Ports.free().redis
        self._folder = folder
        self.url = local_redis.url(self._port)
        self.process = self.start()

    def start(self) -> Process:
        self.process = local_redis.server(self._folder / "redis", self._port, self._folder / "redis.log")
        self.process.start()
        self.process.wait_until_ready()
        return self.process

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.stop()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Redises]:
    redises = Redises(tmp_path)
    yield redises
    redises.process.stop()


def test_a_failing_component_is_skipped_for_a_while_and_then_used_again(together: Any, models: Any) -> None:
    def asked() -> int:
        return sum(name == "ranker" for name, _ in models.asked)

    async def talk(ask: Ask) -> None:
        models.broken = {"ranker"}
        for _ in range(FAILURES):
            assert (await ask())["degraded"] == ["ranker: ConnectionError"]
        spared = [await ask() for _ in range(5)]
        assert {entry for answer in spared for entry in answer["degraded"]} == {"ranker: circuit open"}
        assert asked() == FAILURES
        assert all(len(answer["items"]) == 10 for answer in spared)
        models.broken = set()
        await asyncio.sleep(OPEN_S)
        healed = [await ask() for _ in range(3)]
        assert [answer["degraded"] for answer in healed] == [[], [], []]

    together(talk)


def test_a_component_with_an_open_circuit_is_not_called(
    together: Any, models: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine a time-out may be reported late, or the circuit be probed before the last request.
    monkeypatch.setattr(fallbacks, "_OVERDUE_S", 60.0)
    monkeypatch.setattr(breaker, "OPEN_S", 60.0)

    async def talk(ask: Ask) -> None:
        models.delay_s = {"retriever": 5.0}
        await asyncio.gather(*(ask() for _ in range(FAILURES)))
        asked = len(models.asked)
        answer = await ask()
        assert [name for name, _ in models.asked[asked:]] == ["ranker"]
        assert answer["degraded"] == ["retriever: circuit open"]
        assert len(answer["items"]) == 10

    together(talk)


def test_time_outs_of_short_deadlines_do_not_open_a_circuit(together: Any, models: Any) -> None:
    async def talk(ask: Ask) -> None:
        models.delay_s = {"ranker": 0.05}
        for _ in range(3 * FAILURES):
            await ask(deadline_ms=10)
        assert (await ask())["degraded"] == []

    together(talk)


def test_one_users_unreadable_filter_degrades_only_that_users_answers(
    together: Any, published: Release, redis_url: str
) -> None:
    client, key = Redis.from_url(redis_url), state_of(published).seen("user-3")
    packed = client.get(key)

    async def talk(ask: Ask) -> list[Answer]:
        before = await ask()
        client.set(key, b"no filter")
        broken = [await ask() for _ in range(2 * FAILURES)]
        other = await ask("user-4")
        client.set(key, packed)
        return [before, *broken, other, await ask()]

    before, *broken, other, healed = together(talk)
    assert before["degraded"] == other["degraded"] == healed["degraded"] == []
    assert [answer["degraded"] for answer in broken] == [["seen: filter unreadable"]] * len(broken)
    # The history was read: the retriever uses it, and its items are left out.
    offsets = published.array("offsets")
    newest = published.array("item")[offsets[3] : offsets[4]][-published.manifest.history_length :].tolist()
    shown = {int(item["item_id"].removeprefix("item-")) for answer in broken for item in answer["items"]}
    assert not shown & set(newest)
    assert any("retriever" in item["sources"] for item in broken[0]["items"])
    assert healed["items"] == before["items"]


def test_a_killed_redis_is_marked_and_counted_and_every_request_is_answered(
    serve_tiny: Any, own_redis: Redises
) -> None:
    unfiltered = 'winnow_filter_open_total{filter="seen",reason="not read"}'
    with serve_tiny(own_redis.url) as server:

        def ask() -> tuple[int, Any]:
            status, body = server.v1({"user_id": "user-3", "k": 10})
            return status, body["predictions"][0]

        assert ask()[1]["degraded"] == []
        before = server.metric(unfiltered)
        own_redis.kill()
        away = [ask() for _ in range(20)]
        assert {status for status, _ in away} == {200}
        for _, answer in away:
            assert {entry.split(":")[0] for entry in answer["degraded"]} >= {"user_state", "seen"}
            assert len(answer["items"]) == 10
        assert server.metric(unfiltered) == before + 20
        assert server.metric('winnow_circuit_open{component="user_state"}') == 1
        own_redis.start()
        until(lambda: ask()[1]["degraded"] == [])
        assert server.metric('winnow_circuit_open{component="user_state"}') == 0


def test_a_hanging_redis_delays_no_answer_beyond_its_deadline(serve_tiny: Any, own_redis: Redises) -> None:
    with serve_tiny(own_redis.url) as server:
        assert server.v1({"user_id": "user-3"})[1]["predictions"][0]["degraded"] == []
        os.kill(own_redis.process.pid, signal.SIGSTOP)
        try:
            for _ in range(10):
                status, body = server.v1({"user_id": "user-3", "k": 10, "deadline_ms": 400})
                assert status == 200
                reasons = {entry.partition(": ")[2] for entry in body["predictions"][0]["degraded"]}
                # Each part waited for its share of the deadline at most, or not at all.
                waited = r"no answer within \d+ ms|circuit open|filter not read"
                assert reasons
                assert all(re.fullmatch(waited, reason) for reason in reasons), reasons
                assert len(body["predictions"][0]["items"]) == 10
        finally:
            os.kill(own_redis.process.pid, signal.SIGCONT)
        until(lambda: server.v1({"user_id": "user-3"})[1]["predictions"][0]["degraded"] == [])
