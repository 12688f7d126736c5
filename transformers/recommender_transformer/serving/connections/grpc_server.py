"""KServe's gRPC server with bounds: on connections, on streams, and on how long a call may take to come and to leave.

gRPC hands a call over when its message is whole, so one that is half sent holds no place among the recommendations
under way. But it lives as long as its client likes. KServe builds its server without options for any of this, so it is
built here.
"""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

import grpc
from grpc import aio
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as service  # type: ignore[import-untyped]
from kserve.protocol.grpc.interceptors import (  # type: ignore[import-untyped]
    ExceptionToStatusInterceptor,
    LoggingInterceptor,
)
from kserve.protocol.grpc.server import GRPCServer  # type: ignore[import-untyped]
from kserve.protocol.grpc.servicer import InferenceServicer  # type: ignore[import-untyped]
from prometheus_client import Counter

from recommender_transformer.serving.connections.connection_limits import GRACE_S
from winnow.request import MAX_BODY_BYTES

_CALLS = 256
"""Calls whose message is not whole, or whose answer is not taken; beyond it the oldest ends."""

_SENDING_S = 600.0
"""For a message. How much of it is there cannot be seen here, so it is the time of the largest picture at 16 kB/s, and
half as much again."""

_WATCH_S = 1.0

_ENDED = Counter("winnow_grpc_calls_ended_total", "gRPC calls ended because they were not sent, or read, in time.")

_OPTIONS = {
    "grpc.max_receive_message_length": MAX_BODY_BYTES,
    "grpc.max_send_message_length": MAX_BODY_BYTES,
    "grpc.max_concurrent_streams": 64,
    # No bound for each client: what is one client to gRPC is one connection, and its streams are bounded.
    "grpc.max_allowed_incoming_connections": 1000,
    # For the first frames of a connection.
    "grpc.server_handshake_timeout_ms": 10_000,
    # A connection without calls is closed, and one with calls asked to come again, so that none lives for ever.
    "grpc.max_connection_idle_ms": 300_000,
    "grpc.max_connection_age_ms": 1_800_000,
    "grpc.max_connection_age_grace_ms": int(1000 * _SENDING_S),
    # Peers that are gone without a word.
    "grpc.keepalive_time_ms": 60_000,
    "grpc.keepalive_timeout_ms": 20_000,
    # Pings more often than this, three times, and the connection is closed (ENHANCE_YOUR_CALM).
    "grpc.http2.min_ping_interval_without_data_ms": 10_000,
    "grpc.http2.max_ping_strikes": 2,
    "grpc.keepalive_permit_without_calls": 1,
}


class Calls(aio.ServerInterceptor):  # type: ignore[misc]
    """Ends calls that are not sent, or whose answer is not taken, in time.

    gRPC asks for a call's handler when its headers are there, in the task that then reads the message, calls the
    handler and writes the answer.
    """

    def __init__(self) -> None:
        self._due: dict[asyncio.Task[Any], float] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        """Take note of a call, and of its message."""
        handler = await continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler
        task = asyncio.current_task()
        assert task is not None
        if len(self._due) >= _CALLS:
            self._end(next(iter(self._due)))
        self._due[task] = monotonic() + _SENDING_S
        task.add_done_callback(lambda done: self._due.pop(done, None))
        behaviour = handler.unary_unary

        async def answer(request: Any, context: Any) -> Any:
            self._due.pop(task, None)
            try:
                return await behaviour(request, context)
            finally:
                self._due[task] = monotonic() + GRACE_S

        return grpc.unary_unary_rpc_method_handler(answer, handler.request_deserializer, handler.response_serializer)

    async def watch(self) -> None:
        """Look, for ever, whose time has run out."""
        while True:
            await asyncio.sleep(_WATCH_S)
            now = monotonic()
            for task in [task for task, due in self._due.items() if due < now]:
                self._end(task)

    def _end(self, task: "asyncio.Task[Any]") -> None:
        _ENDED.inc()
        self._due.pop(task, None)
        task.cancel()


class BoundedGRPCServer(GRPCServer):  # type: ignore[misc]
    """The server; how it is made and stopped is KServe's."""

    async def start(self, host: str) -> None:
        """Serve on an address of this machine until stopped."""
        calls = Calls()
        self._server = aio.server(
            interceptors=(calls, LoggingInterceptor(), ExceptionToStatusInterceptor()), options=list(_OPTIONS.items())
        )
        servicer = InferenceServicer(self._data_plane, self._model_repository_extension)
        service.add_GRPCInferenceServiceServicer_to_server(servicer, self._server)
        self._server.add_insecure_port(f"[{host}]:{self._port}" if ":" in host else f"{host}:{self._port}")
        watching = asyncio.create_task(calls.watch())
        try:
            await self._server.start()
            await self._server.wait_for_termination()
        finally:
            watching.cancel()
