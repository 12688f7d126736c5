"""The load generator of the benchmarks counts answers, refusals, degraded answers and failed connections."""

from typing import Any
from urllib.parse import urlsplit

import numpy as np

from benchmarks.common.load import carry_out
from benchmarks.common.load_plan import Plan
from winnow.ports import Ports

USERS = [f"user-{number}" for number in range(10)]


def port_of(server: Any) -> int:
    port = urlsplit(server.url).port
    assert port is not None
    return port


def test_latency_counts_from_the_time_a_request_was_due(server: Any) -> None:
    answers = carry_out(Plan([port_of(server)], USERS, seconds=2.0, rate=20.0))
    assert len(answers) == 40
    assert answers.full.all()
    assert set(answers.items.tolist()) == {10}
    assert set(answers.tries.tolist()) == {1}
    assert (np.diff(answers.due) > 0).all()
    assert (answers.ms > 0).all()
    assert len(answers.between(answers.due[10], answers.due[20])) == 10


def test_degraded_answers_and_refusals_are_counted_apart(serve_tiny: Any, redis_url: str) -> None:
    with serve_tiny(redis_url, broken=["ranker"], delay_s={"retriever": 0.5}, max_in_flight=1) as server:
        answers = carry_out(Plan([port_of(server)], USERS, seconds=2.0, rate=20.0))
    assert set(answers.status.tolist()) == {200, 503}
    assert answers.degraded[answers.ok].all()
    assert not answers.full.any()
    assert not answers.items[~answers.ok].any()


def test_a_retry_goes_to_another_endpoint_and_without_retries_requests_are_lost(server: Any) -> None:
    closed = Ports.free().http
    twice = carry_out(Plan([port_of(server), closed], USERS, seconds=1.0, rate=20.0, tries=2))
    assert twice.ok.all()
    assert set(twice.tries.tolist()) == {1, 2}
    once = carry_out(Plan([port_of(server), closed], USERS, seconds=1.0, rate=20.0))
    assert set(once.status.tolist()) == {0, 200}
    alone = carry_out(Plan([closed], USERS, seconds=1.0, rate=20.0))
    assert set(alone.status.tolist()) == {0}


def test_closed_loop_clients_send_one_request_at_a_time(server: Any) -> None:
    answers = carry_out(Plan([port_of(server)], USERS, seconds=1.0, clients=2))
    assert answers.full.all()
    # A client sends its next request when the last one is answered, so at most two are open at once. Times since the
    # epoch are rounded to parts of a microsecond.
    ends = answers.due + answers.ms / 1000 - 1e-5
    assert max(int(((answers.due <= at) & (at < ends)).sum()) for at in answers.due) <= 2


def test_protocol_v2_is_counted_like_v1(server: Any, serve_tiny: Any, redis_url: str) -> None:
    answers = carry_out(Plan([port_of(server)], USERS, seconds=1.0, clients=1, protocol="v2"))
    assert answers.full.all()
    assert set(answers.items.tolist()) == {10}
    with serve_tiny(redis_url, broken=["ranker"]) as degraded:
        answers = carry_out(Plan([port_of(degraded)], USERS, seconds=1.0, clients=1, protocol="v2"))
    assert answers.ok.all()
    assert not answers.full.any()
