"""The circuit breaker, with a manual clock."""

from typing import Any

from prometheus_client import REGISTRY

from recommender_transformer.backends.breaker import FAILURES, OPEN_S, Breaker


def is_open(component: str) -> float | None:
    return REGISTRY.get_sample_value("winnow_circuit_open", {"component": component})


def opened(component: str = "part") -> Breaker:
    part = Breaker(component)
    for _ in range(FAILURES):
        assert part.admits()
        part.failed()
    return part


def test_consecutive_failures_open_the_circuit_and_set_the_metric(clock: Any) -> None:
    part = Breaker("metered")
    for _ in range(FAILURES - 1):
        part.failed()
    assert part.admits()
    assert is_open("metered") == 0
    part.failed()
    assert not part.admits()
    assert is_open("metered") == 1


def test_a_success_resets_the_count(clock: Any) -> None:
    part = Breaker("part")
    for _ in range(3):
        for _ in range(FAILURES - 1):
            part.failed()
        part.succeeded()
    assert part.admits()


def test_one_request_probes_after_the_open_time(clock: Any) -> None:
    part = opened()
    clock.now += OPEN_S * 0.99
    assert not part.admits()
    clock.now += OPEN_S * 0.02
    assert [part.admits() for _ in range(5)] == [True, False, False, False, False]


def test_a_probe_that_succeeds_closes_the_circuit_for_all(clock: Any) -> None:
    part = opened("healed")
    clock.now += OPEN_S
    assert part.admits()
    part.succeeded()
    assert [part.admits() for _ in range(3)] == [True, True, True]
    assert is_open("healed") == 0


def test_a_probe_that_fails_keeps_it_open(clock: Any) -> None:
    part = opened()
    clock.now += OPEN_S
    assert part.admits()
    clock.now += OPEN_S / 2
    part.failed()
    clock.now += OPEN_S * 0.9
    assert not part.admits()
    clock.now += OPEN_S * 0.2
    assert part.admits()


def test_a_probe_without_a_result_is_followed_by_another(clock: Any) -> None:
    part = opened()
    clock.now += OPEN_S
    assert part.admits()
    clock.now += OPEN_S
    assert part.admits()
