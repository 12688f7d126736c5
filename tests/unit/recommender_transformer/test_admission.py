"""Admission of recommendations, with a manual clock."""

import asyncio
import subprocess
import sys
from typing import Any

import pytest
from prometheus_client import REGISTRY

from recommender_transformer.serving.connections.admission import AdmissionControl, AdmissionMiddleware


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


@pytest.mark.parametrize(("status", "failed"), [(200, 0), (400, 0), (499, 0), (500, 1), (503, 1)])
def test_a_response_with_an_error_of_the_server_is_counted(status: int, failed: int) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def send(message: Any) -> None:
        sent.append(message)

    sent: list[Any] = []
    before = failures("http")
    scope = {"type": "http", "method": "POST", "path": "/v1/models/recommender:predict"}
    asyncio.run(AdmissionMiddleware(app, AdmissionControl())(scope, None, send))  # type: ignore[arg-type]
    assert len(sent) == 2
    assert failures("http") - before == failed


# A process of its own: KServe's build of the protocol and tritonclient's cannot both be loaded.
GRPC_CALLS = """
import asyncio
from kserve.errors import InvalidInput
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from prometheus_client import REGISTRY
from recommender_transformer.serving.connections.admission import AdmissionControl
from recommender_transformer.serving.direct_grpc import DirectServicer

class Model:
    def parse(self, *call):
        raise error

class Context:
    def invocation_metadata(self):
        return None

servicer = DirectServicer(Model(), AdmissionControl(), None, None, None)
for error in (InvalidInput("k"), RuntimeError("a bug")):
    try:
        asyncio.run(servicer.ModelInfer(pb.ModelInferRequest(model_name="recommender"), Context()))
    except type(error):
        print(REGISTRY.get_sample_value("winnow_failed_total", {"protocol": "grpc"}) or 0.0)
"""


def test_a_grpc_call_is_a_failure_where_the_server_is_at_fault() -> None:
    done = subprocess.run([sys.executable, "-c", GRPC_CALLS], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["0.0", "1.0"]


def failures(protocol: str) -> float:
    return REGISTRY.get_sample_value("winnow_failed_total", {"protocol": protocol}) or 0.0
