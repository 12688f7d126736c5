"""The load generator of the benchmarks sees what is there: answers, refusals, steps down, and nobody at all."""

from typing import Any
from urllib.parse import urlsplit

import numpy as np

from benchmarks.load import Plan, carry_out
from winnow.ports import Ports

USERS = [f"user-{number}" for number in range(10)]


def port_of(server: Any) -> int:
    port = urlsplit(server.url).port
    assert port is not None
    return port


def test_what_is_answered_is_counted_and_timed_from_when_it_was_due(server: Any) -> None:
    answers = carry_out(Plan([port_of(server)], USERS, seconds=2.0, rate=20.0))
    assert len(answers) == 40
    assert answers.full.all()
    assert set(answers.items.tolist()) == {10}
    assert set(answers.tries.tolist()) == {1}
    assert (np.diff(answers.due) > 0).all()
    assert 0 < answers.percentile(50) < 1000
    assert len(answers.between(answers.due[10], answers.due[20])) == 10


def test_steps_down_and_refusals_are_told_apart(serve_tiny: Any, redis_url: str) -> None:
    with serve_tiny(redis_url, broken=["ranker"], delay_s={"retriever": 0.5}, max_in_flight=1) as server:
        answers = carry_out(Plan([port_of(server)], USERS, seconds=2.0, rate=20.0))
    assert set(answers.status.tolist()) == {200, 503}
    assert answers.degraded[answers.ok].all()
    assert not answers.full.any()
    assert not answers.items[~answers.ok].any()


def test_a_client_that_tries_again_goes_elsewhere_and_one_that_does_not_counts_its_losses(server: Any) -> None:
    nobody = Ports.free().http
    twice = carry_out(Plan([port_of(server), nobody], USERS, seconds=1.0, rate=20.0, tries=2))
    assert twice.ok.all()
    assert set(twice.tries.tolist()) == {1, 2}
    once = carry_out(Plan([port_of(server), nobody], USERS, seconds=1.0, rate=20.0))
    assert set(once.status.tolist()) == {0, 200}
    alone = carry_out(Plan([nobody], USERS, seconds=1.0, rate=20.0))
    assert set(alone.status.tolist()) == {0}


def test_clients_that_wait_for_their_answers_ask_one_after_another(server: Any) -> None:
    answers = carry_out(Plan([port_of(server)], USERS, seconds=1.0, clients=2))
    assert answers.full.all()
    assert answers.ms.sum() / 1000 <= 2 * 2.0
