"""How many recommendations are let in, by a clock that the tests move."""

import pytest
from prometheus_client import REGISTRY

from recommender_transformer import limits
from recommender_transformer.limits import InFlight


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    moved = Clock()
    monkeypatch.setattr(limits, "monotonic", moved)
    return moved


def let_in(room: InFlight, asked: int) -> int:
    return sum(room.enter("http") for _ in range(asked))


def test_a_burst_goes_beyond_the_limit_and_no_further(clock: Clock) -> None:
    room = InFlight(8)
    assert let_in(room, 100) == 24
    room.leave()
    assert let_in(room, 5) == 1


def test_a_queue_that_stands_is_cut_back_to_the_limit(clock: Clock) -> None:
    room = InFlight(8)
    let_in(room, 24)
    clock.now += 0.11
    for _ in range(16):
        room.leave()
        assert not room.enter("http")
    room.leave()
    assert let_in(room, 5) == 1


def test_a_server_that_is_at_ease_again_bears_the_next_burst(clock: Clock) -> None:
    room = InFlight(8)
    let_in(room, 24)
    clock.now += 1.0
    for _ in range(23):
        room.leave()
    assert let_in(room, 100) == 23


def test_a_limit_of_one_lets_one_in(clock: Clock) -> None:
    room = InFlight(1)
    assert room.enter("grpc")
    clock.now += 1.0
    assert not room.enter("grpc")
    room.leave()
    assert room.enter("grpc")


def test_the_metrics_tell_how_many_are_in_and_how_many_were_refused(clock: Clock) -> None:
    def refused() -> float:
        return REGISTRY.get_sample_value("winnow_refused_total", {"protocol": "grpc"}) or 0.0

    room, before = InFlight(1), refused()
    assert [room.enter("grpc") for _ in range(5)] == [True, True, True, False, False]
    assert refused() - before == 2
    assert REGISTRY.get_sample_value("winnow_in_flight") == 3
