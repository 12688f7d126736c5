"""Admission of recommendations, with a manual clock."""

from typing import Any

from prometheus_client import REGISTRY

from recommender_transformer.serving.connections.admission import AdmissionControl


def let_in(room: AdmissionControl, asked: int) -> int:
    return sum(room.acquire("http") for _ in range(asked))


def test_a_burst_may_exceed_the_limit_up_to_the_burst_size(clock: Any) -> None:
    room = AdmissionControl(8)
    assert let_in(room, 100) == 24
    room.release()
    assert let_in(room, 5) == 1


def test_a_standing_queue_is_cut_back_to_the_limit(clock: Any) -> None:
    room = AdmissionControl(8)
    let_in(room, 24)
    clock.now += 0.11
    for _ in range(16):
        room.release()
        assert not room.acquire("http")
    room.release()
    assert let_in(room, 5) == 1


def test_an_idle_server_accepts_the_next_burst(clock: Any) -> None:
    room = AdmissionControl(8)
    let_in(room, 24)
    clock.now += 1.0
    for _ in range(23):
        room.release()
    assert let_in(room, 100) == 23


def test_a_limit_of_one_admits_one_request(clock: Any) -> None:
    room = AdmissionControl(1)
    assert room.acquire("grpc")
    clock.now += 1.0
    assert not room.acquire("grpc")
    room.release()
    assert room.acquire("grpc")


def test_metrics_count_requests_in_flight_and_refused(clock: Any) -> None:
    def refused() -> float:
        return REGISTRY.get_sample_value("winnow_refused_total", {"protocol": "grpc"}) or 0.0

    room, before = AdmissionControl(1), refused()
    assert [room.acquire("grpc") for _ in range(5)] == [True, True, True, False, False]
    assert refused() - before == 2
    assert REGISTRY.get_sample_value("winnow_in_flight") == 3
