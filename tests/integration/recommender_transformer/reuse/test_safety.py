"""Reuse in many steps, on one Redis and on a cluster, and in a served transformer over every protocol."""

import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from tests.support.redis_fixtures import server_and_cluster
from tests.support.reuse.interleaving import interleave
from tests.support.reuse.transformer import Transformer
from tests.support.transformer_server import Server
from winnow import protocols as endpoint
from winnow.release import Release
from winnow.store.connection import connect

redis_url = server_and_cluster


@pytest.mark.slow
def test_nothing_seen_or_taken_down_is_shown_in_a_thousand_events_and_requests(
    run: Any, published: Release, redis_url: str
) -> None:
    async def use(one: Transformer, other: Transformer) -> None:
        with closing(connect(redis_url)) as client:
            result = await interleave(published, client, (one, other), steps=1000, seed=16)
        assert result.violations == []
        assert result.reused > 200
        assert result.events > 150
        assert result.taken_down > 20

    run(use, row_ttl_s=0.0)


def test_every_protocol_says_that_an_answer_was_reused(serve_published: Callable[..., Any]) -> None:
    asked: list[endpoint.Instance] = [{"user_id": "user-3", "k": 10}, {"user_id": "passer-by", "k": 10}]
    with serve_published(reuse_s=30.0) as server:
        assert isinstance(server, Server)
        with endpoint.http(server.ports[0]) as http, endpoint.grpc(server.ports[1]) as calls:
            computed = endpoint.over_http_v1(http, asked)
            again = (
                endpoint.over_http_v1(http, asked),
                endpoint.over_http_v2(http, asked),
                endpoint.over_grpc(calls, asked),
            )
        assert [answer for answer in computed if "reused_ms" in answer] == []
        for answers in again:
            for first, answer in zip(computed, answers, strict=True):
                assert answer["reused_ms"] >= 0
                assert answer["items"] == first["items"]
                assert answer["request_id"] != first["request_id"]
        assert server.metric("winnow_answers_reused_total") == 6


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--reuse-seconds=61", "--reuse-seconds: must be between 0 and 60, got 61"),
        ("--explore=0.5", "--explore: must be between 0 and 0.1, got 0.5"),
        ("--explore=-0.1", "--explore: must be between 0 and 0.1, got -0.1"),
    ],
)
def test_a_flag_out_of_bounds_is_refused(flag: str, message: str) -> None:
    command = [sys.executable, "-m", "recommender_transformer", "--release-dir=r", "--predictor_host=localhost:1"]
    refused = subprocess.run([*command, flag], capture_output=True, text=True, timeout=120)
    assert refused.returncode == 2
    assert message in refused.stderr
