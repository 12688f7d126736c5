"""Admission: a bounded number of recommendations at once; disconnected clients free their slot."""

import http.client
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import grpc
import pytest
from tritonclient.grpc import service_pb2 as pb

from recommender_transformer.serving.connections.admission import BUSY
from tests.support.until import until

BODY = json.dumps({"instances": [{"user_id": "user-3", "k": 5, "deadline_ms": 10_000}]}).encode()
PATH = "/v1/models/recommender:predict"
SLOW_S = 2.0


@pytest.fixture
def slow(serve_tiny: Any, redis_url: str) -> Iterator[Any]:
    """A server that takes two seconds for a recommendation and two of them at once."""
    with serve_tiny(redis_url, delay_s={"retriever": SLOW_S}, max_in_flight=2) as server:
        yield server


def connect(server: Any) -> http.client.HTTPConnection:
    where = urlsplit(server.url)
    return http.client.HTTPConnection(where.hostname, where.port, timeout=30)


def once(server: Any) -> int:
    """The status of one request on a connection of its own."""
    with closing(connect(server)) as connection:
        return ask(connection)[0]


def ask(connection: http.client.HTTPConnection, body: bytes = BODY) -> tuple[int, str | None, Any]:
    connection.request("POST", PATH, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    return response.status, response.getheader("retry-after"), json.loads(response.read())


def call() -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="recommender")
    request.inputs.add(name="user_id", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"user-3")
    return request


def test_requests_beyond_the_limit_get_503_with_retry_after(slow: Any) -> None:
    with ThreadPoolExecutor(2) as pool, closing(connect(slow)) as refused:
        inside = [pool.submit(once, slow) for _ in range(2)]
        until(lambda: slow.metric("winnow_in_flight") == 2)
        # Longer than a burst is tolerated.
        time.sleep(0.2)
        # The connection stays usable although the bodies were not read; the first request takes another code path.
        answers = [ask(refused, BODY + b" " * blanks) for blanks in (0, 0, 300_000)]
        assert answers == [(503, "1", {"error": BUSY})] * 3
        with pytest.raises(grpc.RpcError) as raised:
            slow.infer(call(), timeout=10)
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "retry in a second" in raised.value.details()
        # Other endpoints are not limited.
        assert slow.get("/v2/health/ready") == slow.get("/v2/models/recommender/ready") == 200
        event = {"user_id": "user-3", "item_id": "item-3", "event": "view"}
        assert slow.v1(event, model="events")[0] == 200
        assert not any(future.done() for future in inside)
        assert [future.result() for future in inside] == [200, 200]
        assert ask(refused)[0] == 200
    assert slow.metric('winnow_refused_total{protocol="http"}') == 3
    assert slow.metric('winnow_refused_total{protocol="grpc"}') == 1
    assert slow.metric("winnow_in_flight") == 0


def test_http_and_grpc_share_one_limit(slow: Any) -> None:
    inside = [slow.infer.future(call(), timeout=30) for _ in range(2)]
    until(lambda: slow.metric("winnow_in_flight") == 2)
    time.sleep(0.2)
    assert once(slow) == 503
    assert all(future.result().outputs for future in inside)
    assert once(slow) == 200


def test_in_flight_work_is_cancelled_when_the_client_disconnects(serve_tiny: Any, redis_url: str) -> None:
    with serve_tiny(redis_url, delay_s={"retriever": 20.0}) as server:
        where = urlsplit(server.url)
        with socket.create_connection((where.hostname, where.port)) as client:
            patient = json.dumps({"instances": [{"user_id": "user-3", "deadline_ms": 10_000}]}).encode()
            head = f"POST {PATH} HTTP/1.1\r\nHost: here\r\nContent-Length: {len(patient)}\r\n"
            client.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + patient)
            until(lambda: server.metric("winnow_in_flight") == 1)
        # The deadline would end the work after 10 seconds.
        until(lambda: server.metric("winnow_in_flight") == 0, 8)
        assert server.metric("winnow_clients_left_total") == 1

        request = call()
        request.inputs.add(name="deadline_ms", datatype="INT32", shape=[1]).contents.int_contents.append(10_000)
        left = server.infer.future(request, timeout=30)
        until(lambda: server.metric("winnow_in_flight") == 1)
        left.cancel()
        until(lambda: server.metric("winnow_in_flight") == 0, 8)
        # Other clients are served: a cold-start user needs no retriever.
        assert server.v1({"user_id": "cold-start-user"})[0] == 200
        assert server.metric("winnow_clients_left_total") == 1
