"""Clients that send slowly, never send or never read are closed, with an error where possible."""

import base64
import http.client
import io
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from tests.support.until import until

PATH = "/v1/models/recommender:predict"
BODY = json.dumps({"instances": [{"user_id": "user-3", "k": 5}]}).encode()
RECEPTION = "recommender_transformer.serving.connections.http_connection"
SHORT_TIMES = {f"{RECEPTION}.HEAD_S": 2.0, f"{RECEPTION}.GRACE_S": 2.0}


def head(size: int, *more: str) -> bytes:
    lines = [f"POST {PATH} HTTP/1.1", "Host: here", "Content-Type: application/json", f"Content-Length: {size}", *more]
    return "\r\n".join([*lines, "", ""]).encode()


@contextmanager
def connected(server: Any, address: str = "127.0.0.1") -> Iterator[socket.socket]:
    where = urlsplit(server.url)
    with socket.create_connection((where.hostname, where.port), timeout=60, source_address=(address, 0)) as client:
        yield client


def rest(client: socket.socket) -> bytes:
    """The bytes until the server closes the connection."""
    parts = []
    try:
        while part := client.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def is_open(client: socket.socket) -> bool:
    """Whether the server has neither answered nor closed the connection."""
    client.setblocking(False)
    try:
        client.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except ConnectionResetError:
        pass
    finally:
        client.settimeout(60)
    return False


def ended(server: Any, reason: str) -> float:
    return server.metric(f'winnow_connections_ended_total{{reason="{reason}"}}')


def honest(server: Any, count: int = 20) -> list[int]:
    """The statuses of requests on new connections and on a keep-alive connection."""
    where = urlsplit(server.url)
    statuses = [server.v1({"user_id": "user-3", "k": 5})[0] for _ in range(count)]
    with closing(http.client.HTTPConnection(where.hostname, where.port, timeout=30)) as kept:
        for _ in range(count):
            kept.request("POST", PATH, BODY, {"Content-Type": "application/json"})
            response = kept.getresponse()
            response.read()
            statuses.append(response.status)
    return statuses


def test_slow_senders_take_no_slot_and_get_408(serve_tiny: Any, redis_url: str) -> None:
    with serve_tiny(redis_url, max_in_flight=2, constants=SHORT_TIMES) as server, ExitStack() as open_:
        bodies, heads, silent = (
            [open_.enter_context(connected(server)) for _ in range(count)] for count in (60, 30, 10)
        )
        for client in bodies:
            client.sendall(head(len(BODY)) + BODY[:20])
        for client in heads:
            client.sendall(b"POST /v1/models/recomm")
        assert server.metric("winnow_in_flight") == 0
        assert honest(server) == [200] * 40
        for client in bodies + heads:
            answer = rest(client)
            assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n"), answer
            assert b"connection: close" in answer
            assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"error": "the request was not complete in time"}
        # Without a request there is no answer.
        assert {rest(client) for client in silent} == {b""}
        assert ended(server, "slow") == 100
        assert server.metric('winnow_connections_waiting{what="sending"}') == 0
        assert honest(server, 5) == [200] * 10


def noise() -> bytes:
    """A request with an incompressible picture of about 70 kB."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (130, 130, 3), np.uint8)).save(file, "PNG")
    content = {"b64": base64.b64encode(file.getvalue()).decode()}
    return json.dumps({"instances": [{"query": {"image": content}, "deadline_ms": 5000}]}).encode()


def test_a_picture_on_a_slow_line_is_answered_and_a_trickling_one_is_not(serve_tiny: Any, redis_url: str) -> None:
    body = noise()
    with serve_tiny(redis_url, constants=SHORT_TIMES) as server, ExitStack() as open_:

        def send(rate: int) -> bytes:
            client = open_.enter_context(connected(server))
            client.sendall(head(len(body), "Connection: close"))
            for start in range(0, len(body), rate // 8):
                try:
                    client.sendall(body[start : start + rate // 8])
                except OSError:
                    break
                if not is_open(client):
                    break
                time.sleep(1 / 8)
            return rest(client)

        with ThreadPoolExecutor(2) as pool:
            slow, trickle = pool.submit(send, 16_000), pool.submit(send, 400)
            served = []
            while not (slow.done() and trickle.done()):
                served += honest(server, 1)
        assert slow.result().startswith(b"HTTP/1.1 200 OK\r\n")
        assert trickle.result()[:12] in (b"HTTP/1.1 408", b"")
        assert ended(server, "slow") == 1
        assert set(served) == {200}


def test_beyond_the_bounds_the_slowest_connections_are_closed(serve_tiny: Any, redis_url: str) -> None:
    with serve_tiny(redis_url, bounds=[20, 10, 1_000_000]) as server, ExitStack() as open_:
        first = [open_.enter_context(connected(server)) for _ in range(14)]
        for client in first:
            client.sendall(head(len(BODY)) + BODY[:20])
        others = [open_.enter_context(connected(server, "127.0.0.2")) for _ in range(9)]
        for client in others:
            client.sendall(head(len(BODY)) + BODY[:20])
        # New connections are accepted from every address; the ones past their time are closed.
        time.sleep(1.2)
        assert honest(server) == [200] * 40
        until(lambda: sum(map(is_open, first)) <= 9)
        assert all(map(is_open, others))
        answers = {rest(client)[:12] for client in first if not is_open(client)}
        assert answers <= {b"HTTP/1.1 503", b""}
        # A connection that completes its request is served.
        [late] = [client for client in first if is_open(client)][-1:]
        late.sendall(BODY[20:])
        assert late.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
        for client in (*first, *others):
            client.close()

        idle = []
        for _ in range(14):
            client = open_.enter_context(connected(server))
            idle.append(client)
            client.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: here\r\n\r\n")
            answer = client.recv(65536)
            while b"}" not in answer and (more := client.recv(65536)):
                answer += more
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        until(lambda: sum(map(is_open, idle)) <= 10)
        assert is_open(idle[-1])
        assert ended(server, "crowded") >= 8


def test_the_memory_of_incomplete_bodies_is_bounded(serve_tiny: Any, redis_url: str) -> None:
    with serve_tiny(redis_url, bounds=[100, 100, 1_000_000]) as server, ExitStack() as open_:
        clients = [open_.enter_context(connected(server)) for _ in range(5)]
        for client in clients:
            client.sendall(head(4_000_000) + b" " * 400_000)
        until(lambda: ended(server, "memory") >= 2)
        # Small bodies pass.
        assert honest(server) == [200] * 40
        gone = [client for client in clients if not is_open(client)]
        assert 2 <= len(gone) <= 3
        assert {rest(client)[:12] for client in gone} <= {b"HTTP/1.1 503", b""}
        for client in clients:
            client.close()
        # The memory is free again.
        with connected(server) as client:
            client.sendall(head(len(BODY) + 900_000, "Connection: close") + BODY + b" " * 900_000)
            assert rest(client).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_client_that_does_not_read_takes_no_slot_and_is_closed(serve_tiny: Any, redis_url: str) -> None:
    body = json.dumps({"instances": [{"user_id": "user-3", "k": 100, "debug": True}]}).encode()
    constants = SHORT_TIMES | {f"{RECEPTION}.MIN_RATE": 100_000}
    with serve_tiny(redis_url, max_in_flight=2, constants=constants) as server, ExitStack() as open_:
        for _ in range(2):
            client = open_.enter_context(connected(server))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            with suppress(BlockingIOError, ConnectionResetError):
                for _ in range(2000):
                    client.send(head(len(body)) + body)
        until(lambda: ended(server, "unread") == 2)
        assert server.metric("winnow_in_flight") == 0
        assert honest(server) == [200] * 40


def test_http_features_still_work(server: Any) -> None:
    with connected(server) as client:
        # `Expect: 100-continue` is answered.
        client.sendall(head(len(BODY), "Expect: 100-continue"))
        assert client.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(BODY)
        assert client.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
        # Two pipelined requests, the second in pieces.
        client.sendall(head(len(BODY)) + BODY + head(len(BODY), "Connection: close") + BODY[:9])
        time.sleep(0.5)
        client.sendall(BODY[9:])
        assert rest(client).count(b"HTTP/1.1 200 OK\r\n") == 2
    with connected(server) as client:
        chunked = b"".join(b"1\r\n%c\r\n" % byte for byte in BODY) + b"0\r\n\r\n"
        begun = head(0, "Connection: close").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
        client.sendall(begun + chunked)
        assert rest(client).startswith(b"HTTP/1.1 200 OK\r\n")
    with connected(server) as client:
        client.sendall(head(len(BODY), "X-Filler: ")[:-4])
        time.sleep(0.2)
        client.sendall(b"f" * 80_000)
        assert rest(client).startswith(b"HTTP/1.1 431 ")
