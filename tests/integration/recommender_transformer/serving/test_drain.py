"""SIGTERM: readiness first, then the listeners, and no request is lost."""

import http.client
import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

from redis import Redis
from tritonclient.grpc import service_pb2 as pb

from tests.support.until import until
from winnow.store.keys import IMPRESSIONS

PATH = "/v1/models/recommender:predict"


def ask(server: Any, request_id: str = "drained") -> tuple[int, str | None]:
    where = urlsplit(server.url)
    body = json.dumps({"instances": [{"user_id": "user-3", "k": 5}]})
    with closing(http.client.HTTPConnection(where.hostname, where.port, timeout=30)) as connection:
        connection.request("POST", PATH, body, {"Content-Type": "application/json", "x-request-id": request_id})
        response = connection.getresponse()
        response.read()
        return response.status, response.getheader("connection")


def until_not_ready(server: Any) -> None:
    until(lambda: server.get("/v2/health/ready") != 200)


def is_ready(server: Any, method: str, question: Any, answer: Any) -> bool:
    asked = server.channel.unary_unary(
        f"/inference.GRPCInferenceService/{method}",
        request_serializer=type(question).SerializeToString,
        response_deserializer=answer.FromString,
    )
    return bool(asked(question, timeout=5).ready)


def test_a_draining_server_is_not_ready_and_still_serves(serve_tiny: Any, redis_url: str) -> None:
    with serve_tiny(redis_url, drain_s=2.0) as server:
        assert ask(server) == (200, None)
        assert is_ready(server, "ServerReady", pb.ServerReadyRequest(), pb.ServerReadyResponse)
        server.process.send_signal(signal.SIGTERM)
        until_not_ready(server)
        assert server.get("/v2/models/recommender/ready") == server.get("/v1/models/recommender") == 503
        assert server.get("/v2/health/live") == 200
        assert not is_ready(server, "ServerReady", pb.ServerReadyRequest(), pb.ServerReadyResponse)
        assert not is_ready(server, "ModelReady", pb.ModelReadyRequest(name="recommender"), pb.ModelReadyResponse)
        # Requests are still answered, with `Connection: close`.
        assert ask(server) == (200, "close")
        request = pb.ModelInferRequest(model_name="recommender")
        request.inputs.add(name="user_id", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"user-3")
        assert server.infer(request, timeout=10).outputs
        assert server.process.poll() is None
        assert server.process.wait(timeout=20) == 0


def test_in_flight_requests_are_answered_and_recorded(serve_tiny: Any, redis_url: str) -> None:
    with serve_tiny(redis_url, delay_s={"retriever": 1.0}) as server, ThreadPoolExecutor(3) as pool:
        under_way = [pool.submit(ask, server, f"last-{number}") for number in range(3)]
        time.sleep(0.3)
        server.process.send_signal(signal.SIGTERM)
        assert [future.result()[0] for future in under_way] == [200, 200, 200]
        assert server.process.wait(timeout=20) == 0
    shown = Redis.from_url(redis_url).xrevrange(IMPRESSIONS, count=10)
    assert {fields[b"request_id"] for _, fields in shown} >= {b"last-0", b"last-1", b"last-2"}


def test_a_second_signal_ends_the_drain(serve_tiny: Any, redis_url: str) -> None:
    with serve_tiny(redis_url, drain_s=60.0) as server:
        server.process.send_signal(signal.SIGINT)
        until_not_ready(server)
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(timeout=20) == 0
