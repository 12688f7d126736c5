"""gRPC clients that send incomplete messages, excessive pings, or never read an answer."""

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2 as pb

from tests.support.until import until

DATA, HEADERS, SETTINGS, PING, GOAWAY = 0, 1, 4, 6, 7
END_HEADERS, END_STREAM = 4, 1
MODULE = "recommender_transformer.serving.connections.grpc_server"
INITIAL_WINDOW = 4
ENHANCE_YOUR_CALM = 11


def request() -> bytes:
    call = pb.ModelInferRequest(model_name="recommender")
    call.inputs.add(name="user_id", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"user-3")
    return call.SerializeToString()


def frame(kind: int, flags: int, stream: int, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content))[1:] + struct.pack(">BBI", kind, flags, stream) + content


def headers(stream: int) -> bytes:
    """The headers of a call, as literal names and values."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": "/inference.GRPCInferenceService/ModelInfer",
        ":authority": "here",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    packed = b"".join(
        b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in fields.items()
    )
    return frame(HEADERS, END_HEADERS, stream, packed)


def message(content: bytes) -> bytes:
    return b"\0" + struct.pack(">I", len(content)) + content


def frames(received: bytes) -> list[tuple[int, bytes]]:
    """Type and payload of each complete frame."""
    found = []
    while len(received) >= 9 and len(received) >= 9 + int.from_bytes(received[:3]):
        end = 9 + int.from_bytes(received[:3])
        found.append((received[3], received[9:end]))
        received = received[end:]
    return found


@contextmanager
def connected(server: Any, window: int = 65535) -> Iterator[socket.socket]:
    """A connection after the HTTP/2 preface."""
    with socket.create_connection(("127.0.0.1", server.ports[1]), timeout=30) as client:
        settings = frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW, window)) + frame(SETTINGS, 1, 0)
        client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings)
        yield client


def honest(server: Any) -> None:
    for _ in range(5):
        assert server.infer(pb.ModelInferRequest.FromString(request()), timeout=20).outputs
        assert server.v1({"user_id": "user-3", "k": 5})[0] == 200


def test_an_incomplete_message_takes_no_slot_and_times_out(serve_tiny: Any, redis_url: str) -> None:
    constants = {f"{MODULE}._SEND_TIMEOUT_S": 4.0}
    with serve_tiny(redis_url, max_in_flight=2, constants=constants) as server, ExitStack() as open_:
        for _ in range(4):
            client = open_.enter_context(connected(server))
            for stream in range(1, 40, 2):
                client.sendall(headers(stream) + frame(DATA, 0, stream, message(request())[:20]))
        honest(server)
        assert server.metric("winnow_in_flight") == 0
        until(lambda: server.metric("winnow_grpc_calls_ended_total") == 80)
        honest(server)


def test_an_unread_answer_takes_no_slot_and_times_out(serve_tiny: Any, redis_url: str) -> None:
    constants = {f"{MODULE}.GRACE_S": 2.0}
    with serve_tiny(redis_url, max_in_flight=2, constants=constants) as server, ExitStack() as open_:
        for _ in range(4):
            client = open_.enter_context(connected(server, window=0))
            client.sendall(headers(1) + frame(DATA, END_STREAM, 1, message(request())))
        until(lambda: server.metric("winnow_grpc_calls_ended_total") == 4)
        assert server.metric("winnow_in_flight") == 0
        honest(server)


def test_beyond_the_bound_the_oldest_waiting_calls_end(serve_tiny: Any, redis_url: str) -> None:
    with serve_tiny(redis_url, constants={f"{MODULE}._MAX_WAITING_CALLS": 30}) as server, ExitStack() as open_:
        for _ in range(2):
            client = open_.enter_context(connected(server))
            for stream in range(1, 41, 2):
                client.sendall(headers(stream) + frame(DATA, 0, stream, message(request())[:20]))
        until(lambda: server.metric("winnow_grpc_calls_ended_total") == 10)
        honest(server)


def test_excessive_pings_close_the_connection(server: Any) -> None:
    with connected(server) as client:
        received, begun = b"", time.monotonic()
        # Reads while it sends: after a reset the GOAWAY frame would be lost.
        client.settimeout(0.05)
        while GOAWAY not in [kind for kind, _ in frames(received)] and time.monotonic() < begun + 120:
            client.sendall(frame(PING, 0, 0, bytes(8)))
            with suppress(TimeoutError):
                received += client.recv(65536)
    [calm] = [content for kind, content in frames(received) if kind == GOAWAY]
    assert int.from_bytes(calm[4:8]) == ENHANCE_YOUR_CALM
    honest(server)


def test_a_compressed_message_is_bounded_by_its_decompressed_size(server: Any) -> None:
    call = pb.ModelInferRequest.FromString(request())
    assert server.infer(call, timeout=20, compression=grpc.Compression.Gzip).outputs
    call.id = "x" * (16 * 2**20)
    with pytest.raises(grpc.RpcError) as raised:
        server.infer(call, timeout=20, compression=grpc.Compression.Gzip)
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
