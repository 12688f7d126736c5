"""KServe's gRPC server with bounds on connections, on streams, and on the time to send a call and to read its response.

gRPC calls the handler once a message is complete, so an incomplete call does not count as in flight; but gRPC lets it
live for as long as the client likes. KServe creates its server without options for these bounds, so this module creates
it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

import grpc
from grpc import aio
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as service  # type: ignore[import-untyped]
from kserve.protocol.grpc.interceptors import ExceptionToStatusInterceptor  # type: ignore[import-untyped]
from kserve.protocol.grpc.server import GRPCServer  # type: ignore[import-untyped]
from kserve.protocol.grpc.servicer import InferenceServicer  # type: ignore[import-untyped]
from prometheus_client import Counter

from recommender_transformer.serving.connections.connection_limits import GRACE_S
from winnow.request import MAX_BODY_BYTES

_MAX_WAITING_CALLS = 256
"""Bound on calls whose message is incomplete, or whose response is not read; beyond it the oldest is cancelled."""

_SEND_TIMEOUT_S = 600.0
"""Time for a message. gRPC does not show how much of it has arrived, so this is one and a half times what the largest
image takes at 16 kB/s."""

_CHECK_INTERVAL_S = 1.0

_CANCELLED = Counter(
    "winnow_grpc_calls_ended_total",
    "gRPC calls cancelled because the message was not sent, or the response not read, in time.",
)

MAX_AGE_MS = 1_800_000
"""Age at which a connection is asked to reconnect."""

_OPTIONS = {
    "grpc.max_receive_message_length": MAX_BODY_BYTES,
    "grpc.max_send_message_length": MAX_BODY_BYTES,
    "grpc.max_concurrent_streams": 64,
    # Not bounded per client: one gRPC client uses one connection, whose streams are bounded.
    "grpc.max_allowed_incoming_connections": 1000,
    # Time for the first frames of a connection.
    "grpc.server_handshake_timeout_ms": 10_000,
    # Idle connections are closed, and old ones are asked to reconnect (see `MAX_AGE_MS`), so that every one ends.
    "grpc.max_connection_idle_ms": 300_000,
    "grpc.max_connection_age_grace_ms": int(1000 * _SEND_TIMEOUT_S),
    # Detects peers that disappeared without closing the connection.
    "grpc.keepalive_time_ms": 60_000,
    "grpc.keepalive_timeout_ms": 20_000,
    # After three pings at shorter intervals the connection is closed (ENHANCE_YOUR_CALM).
    "grpc.http2.min_ping_interval_without_data_ms": 10_000,
    "grpc.http2.max_ping_strikes": 2,
    "grpc.keepalive_permit_without_calls": 1,
}


class CallTimeouts(aio.ServerInterceptor):  # type: ignore[misc]
    """Cancels calls whose message is not sent, or whose response is not read, in time.

    gRPC calls an interceptor at the end of a call's headers, in the task that then reads the message, calls the handler
    and writes the response.
    """

    def __init__(self) -> None:
        self._due: dict[asyncio.Task[Any], float] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        """Start the time for the message; the handler ends it, and starts the time for the response."""
        handler = await continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler
        task = asyncio.current_task()
        assert task is not None
        if len(self._due) >= _MAX_WAITING_CALLS:
            self._cancel(next(iter(self._due)))
        self._due[task] = monotonic() + _SEND_TIMEOUT_S
        task.add_done_callback(lambda done: self._due.pop(done, None))
        method = handler.unary_unary

        async def answer(request: Any, context: Any) -> Any:
            self._due.pop(task, None)
            try:
                return await method(request, context)
            finally:
                self._due[task] = monotonic() + GRACE_S

        return grpc.unary_unary_rpc_method_handler(answer, handler.request_deserializer, handler.response_serializer)

    async def watch(self) -> None:
        """Cancel calls whose time is over; runs until cancelled."""
        while True:
            await asyncio.sleep(_CHECK_INTERVAL_S)
            now = monotonic()
            for task in [task for task, due in self._due.items() if due < now]:
                self._cancel(task)

    def _cancel(self, task: "asyncio.Task[Any]") -> None:
        _CANCELLED.inc()
        self._due.pop(task, None)
        task.cancel()


class BoundedGRPCServer(GRPCServer):  # type: ignore[misc]
    """The gRPC server.

    Args:
        servicer: answers the calls.
        settings: KServe's own.
    """

    def __init__(self, servicer: InferenceServicer, *settings: Any) -> None:
        super().__init__(*settings)
        self._servicer = servicer

    async def start(self, host: str, reuse_port: bool, max_age_ms: int = MAX_AGE_MS) -> None:
        """Serve until stopped.

        Args:
            host: address to listen on.
            reuse_port: whether other processes listen on the same port.
            max_age_ms: age at which a connection is asked to reconnect, give or take a tenth.
        """
        timeouts = CallTimeouts()
        self._server = aio.server(
            interceptors=(timeouts, ExceptionToStatusInterceptor()),
            options=list(
                (_OPTIONS | {"grpc.max_connection_age_ms": max_age_ms, "grpc.so_reuseport": int(reuse_port)}).items()
            ),
        )
        service.add_GRPCInferenceServiceServicer_to_server(self._servicer, self._server)
        self._server.add_insecure_port(f"[{host}]:{self._port}" if ":" in host else f"{host}:{self._port}")
        watch = asyncio.create_task(timeouts.watch())
        try:
            await self._server.start()
            await self._server.wait_for_termination()
        finally:
            watch.cancel()
