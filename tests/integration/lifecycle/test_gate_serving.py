"""Replay and load check against a real transformer, and the logged requests of a real stream and of its exports."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.support.tiny_release import write_release
from tests.support.transformer_server import free_port, serving
from winnow.feedback import export_files
from winnow.lifecycle.gate import load, logged, replay, sampled
from winnow.lifecycle.gate.replay import Replayed
from winnow.lifecycle.gate.requests import NEW_USER, LoggedRequest
from winnow.lifecycle.gate.rules import LoadRules, ReplayRules
from winnow.lifecycle.verdict import Check
from winnow.store.keys import IMPRESSIONS

REQUESTS = [LoggedRequest(f"user-{number}", 5) for number in range(4)]
LOAD = LoadRules(per_second=20.0, seconds=1.0, p99_ms=10_000.0, degraded=0.0)


@contextmanager
def served(tmp_path: Path, redis_url: str, number: int, **settings: Any) -> Iterator[int]:
    with serving(tmp_path, number, redis_url, **settings) as server:
        yield server.ports[0]


def failed(checks: Iterator[Check]) -> dict[str, str]:
    return {check.name: check.message for check in checks if not check.passed}


def test_a_whole_release_answers_and_a_broken_ranker_is_named(tmp_path: Path, redis_url: str) -> None:
    with served(tmp_path, redis_url, 71) as port:
        whole, offered = replay.replay(port, REQUESTS, show_progress=False), load.offer(port, REQUESTS, LOAD)
    assert failed(replay.checks(REQUESTS, whole, None, None, ReplayRules())) == {}
    assert failed(load.checks(offered, LOAD)) == {}
    assert len(offered.ms) == 20
    assert [len(items or []) for items in whole.lists] == [5] * 4
    with served(tmp_path, redis_url, 72, broken=["ranker"]) as port:
        broken, offered = replay.replay(port, REQUESTS, show_progress=False), load.offer(port, REQUESTS, LOAD)
    [(name, said)] = failed(replay.checks(REQUESTS, broken, None, None, ReplayRules())).items()
    assert name == "replay: errors"
    assert "some were made without parts of the funnel: ranker" in said
    found = failed(load.checks(offered, LOAD))
    assert found == {"load: degraded": "20 of 20 answers were degraded (100.0%); at most 0.0% are allowed"}


def test_a_slow_endpoint_exceeds_the_percentile_and_one_that_is_gone_answers_nothing(
    tmp_path: Path, redis_url: str
) -> None:
    rules = LOAD.model_copy(update={"p99_ms": 40.0, "degraded": 1.0})
    with served(tmp_path, redis_url, 73, delay_s={"ranker": 0.05}) as port:
        offered = load.offer(port, REQUESTS, rules)
    [(name, said)] = failed(load.checks(offered, rules)).items()
    assert name == "load: p99"
    assert said.startswith("the 99th percentile of 20 requests at 20 a second is ")
    closed = free_port()
    found = failed(load.checks(load.offer(closed, REQUESTS, rules), rules))
    assert found.keys() == {"load: errors"}
    assert found["load: errors"].startswith("20 of 20 requests at 20 a second failed, such as user user-")
    gone = failed(replay.checks(REQUESTS, replay.replay(closed, REQUESTS, False), None, None, ReplayRules()))
    assert gone["replay: errors"].startswith("4 of 4 requests failed, such as user user-0: no answer from ")


@pytest.mark.parametrize(
    ("ours", "theirs", "share"),
    [
        ([["a", "b"], ["c"]], [["b", "x"], ["c"]], 0.75),
        ([["a"], []], [["b"], []], 0.5),
        ([["a"], None], [["a"], ["b"]], 1.0),
        ([["a"], ["b"]], [["x"], ["y", "z"]], 0.0),
    ],
)
def test_the_overlap_is_the_mean_share_of_common_items(
    ours: list[list[str] | None], theirs: list[list[str] | None], share: float, tmp_path: Path
) -> None:
    live = write_release(tmp_path, 1)
    checks = list(
        replay.checks(REQUESTS[:2], Replayed(ours), Replayed(theirs), live, ReplayRules(smallest_overlap=0.5))
    )
    overlap = next(check for check in checks if check.name == "replay: overlap")
    assert overlap.value == share
    assert overlap.passed is (share >= 0.5)


def impression(request_id: str, user_id: str | None, items: int) -> dict[str, Any]:
    shown = [
        {"item_id": f"i{number}", "position": number, "score": 0.0, "propensity": 1.0, "sources": []}
        for number in range(items)
    ]
    return {
        "request_id": request_id,
        "user_id": user_id,
        "release": 1,
        "timestamp": 1,
        "items": shown,
        "degraded": [],
        "features": "",
    }


def test_the_newest_requests_come_from_the_stream_and_then_from_the_exports(tmp_path: Path, redis_url: str) -> None:
    rows = [impression("a", "old", 3), impression("b", None, 3), impression("c", "exported", 7)]
    rows = [row | {"stream_id": f"{number + 1}-0"} for number, row in enumerate(rows)]
    export_files.write(str(tmp_path), export_files.IMPRESSION_TABLE, rows)
    url = redis_url.removesuffix("/0") + "/3"
    with Redis.from_url(url) as client:
        for row in (
            impression("d", "first", 2),
            impression("winnow-up", "starter", 10),
            impression("e", "", 4),
            impression("f", "last", 100),
            impression("g", "nothing", 0),
        ):
            client.xadd(
                IMPRESSIONS,
                {name: value if isinstance(value, str | int) else json.dumps(value) for name, value in row.items()},
            )
        everything = [("last", 100), ("first", 2), ("exported", 7), ("old", 3)]
        assert logged(str(tmp_path), 10, url) == everything
        assert logged(str(tmp_path), 3, url) == everything[:3]
        assert logged(str(tmp_path), 10) == everything[2:]
        assert logged(str(tmp_path / "none"), 10) == []
        client.delete(IMPRESSIONS)


def test_sampled_users_have_a_history_and_one_is_new(tmp_path: Path) -> None:
    release = write_release(tmp_path, 1)
    requests = sampled(release, 6)
    assert requests == sampled(release, 6)
    assert requests[0].user_id == NEW_USER
    assert len({request.user_id for request in requests}) == 6
    assert len(sampled(release, 1000)) == 21, "every user of the release, and the new one"
