"""The circuit breaker, by a clock that the tests move."""

import pytest
from prometheus_client import REGISTRY

from recommender_transformer import breaker
from recommender_transformer.breaker import FAILURES, OPEN_S, Breaker


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    moved = Clock()
    monkeypatch.setattr(breaker, "monotonic", moved)
    return moved


def is_open(component: str) -> float | None:
    return REGISTRY.get_sample_value("winnow_circuit_open", {"component": component})


def opened(component: str = "part") -> Breaker:
    part = Breaker(component)
    for _ in range(FAILURES):
        assert part.admits()
        part.failed()
    return part


def test_failures_in_a_row_open_the_circuit_and_the_metric_says_so(clock: Clock) -> None:
    part = Breaker("metered")
    for _ in range(FAILURES - 1):
        part.failed()
    assert part.admits()
    assert is_open("metered") == 0
    part.failed()
    assert not part.admits()
    assert is_open("metered") == 1


def test_a_success_in_between_starts_the_count_anew(clock: Clock) -> None:
    part = Breaker("part")
    for _ in range(3):
        for _ in range(FAILURES - 1):
            part.failed()
        part.succeeded()
    assert part.admits()


def test_one_request_probes_when_it_is_time(clock: Clock) -> None:
    part = opened()
    clock.now += OPEN_S * 0.99
    assert not part.admits()
    clock.now += OPEN_S * 0.02
    assert [part.admits() for _ in range(5)] == [True, False, False, False, False]


def test_a_probe_that_succeeds_closes_the_circuit_for_all(clock: Clock) -> None:
    part = opened("healed")
    clock.now += OPEN_S
    assert part.admits()
    part.succeeded()
    assert [part.admits() for _ in range(3)] == [True, True, True]
    assert is_open("healed") == 0


def test_a_probe_that_fails_keeps_it_open(clock: Clock) -> None:
    part = opened()
    clock.now += OPEN_S
    assert part.admits()
    clock.now += OPEN_S / 2
    part.failed()
    clock.now += OPEN_S * 0.9
    assert not part.admits()
    clock.now += OPEN_S * 0.2
    assert part.admits()


def test_a_probe_of_which_nothing_is_heard_is_followed_by_another(clock: Clock) -> None:
    part = opened()
    clock.now += OPEN_S
    assert part.admits()
    clock.now += OPEN_S
    assert part.admits()
