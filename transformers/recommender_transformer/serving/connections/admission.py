"""Admission control: bounds the recommendations in flight, and rejects further ones at once, over HTTP and gRPC.

A recommendation is in flight from when its request is complete until its response starts, so neither slow senders nor
slow readers occupy the server.

A standing queue adds latency to every request; short bursts are harmless. So a burst may exceed the limit while the
number in flight was low within the last moment. This is the idea of CoDel (RFC 8289), with requests instead of packets.
Rejecting must cost next to nothing, or an overloaded server is busy rejecting: over HTTP the body is not read, and on a
reused connection the request never reaches the application.
"""

from time import monotonic
from typing import Any

from prometheus_client import Counter, Gauge
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

MAX_IN_FLIGHT = 8
"""Six saturate two cores; more only wait for each other."""

_BURST_FACTOR = 3
"""A burst may reach this multiple of the limit: at 300 requests a second it is served within half a deadline."""

_BURST_S = 0.1
"""Longest time since the load was last low during which a burst is admitted."""

_LOW_LOAD = 0.25
"""The load is low below this share of the limit."""

_PATHS = ("/v1/models/recommender", "/v2/models/recommender")
_RAW_PATHS = tuple(path.encode() for path in _PATHS)

_IN_FLIGHT = Gauge("winnow_in_flight", "Recommendations in flight.")
_REJECTED = Counter("winnow_refused_total", "Recommendations rejected because too many were in flight.", ("protocol",))
FAILED = Counter("winnow_failed_total", "Recommendations answered with an error of the server.", ("protocol",))
_FAILED_HTTP = FAILED.labels("http")

BUSY = "too many requests are in flight: retry in a second, or send the request to another replica"

CLOSE = (b"connection", b"close")
"""The header of every response during shutdown."""

_SERVER_ERROR = 500
"""The smallest status of an error of the server."""

_BODY = b'{"error":"' + BUSY.encode() + b'"}'
_HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", str(len(_BODY)).encode()),
    (b"retry-after", b"1"),
]
_REJECTION: tuple[Message, Message] = (
    {"type": "http.response.start", "status": 503, "headers": _HEADERS},
    {"type": "http.response.body", "body": _BODY},
)
_STATUS_LINE = STATUS_LINE[503]
_HEAD_AND_BODY = b"".join(b"%b: %b\r\n" % header for header in _HEADERS) + b"\r\n" + _BODY


class AdmissionControl:
    """Counts the recommendations in flight. Not thread-safe: all calls come from one event loop.

    Args:
        limit: recommendations in flight, except during bursts.
    """

    def __init__(self, limit: int = MAX_IN_FLIGHT) -> None:
        self._limit = limit
        self._low_load = max(1.0, _LOW_LOAD * limit)
        self._last_low = 0.0
        self._count = 0
        self._rejected = {protocol: _REJECTED.labels(protocol) for protocol in ("http", "grpc")}
        _IN_FLIGHT.set_function(lambda: self._count)

    def rejects(self, protocol: str) -> bool:
        """Whether to reject a request now; a rejected request is counted in the metric."""
        now = monotonic()
        if self._count < self._low_load:
            self._last_low = now
        elif self._count >= self._limit * (_BURST_FACTOR if now - self._last_low < _BURST_S else 1):
            self._rejected[protocol].inc()
            return True
        return False

    def acquire(self, protocol: str) -> bool:
        """Admit a request, which :meth:`release` must follow; false if it is rejected."""
        if self.rejects(protocol):
            return False
        self._count += 1
        return True

    def release(self) -> None:
        """End an admitted request."""
        self._count -= 1


class AdmissionMiddleware:
    """ASGI middleware around complete requests: 503 for rejected recommendations; all other requests pass.

    Args:
        app: the application.
        admission: admits or rejects.
    """

    def __init__(self, app: ASGIApp, admission: AdmissionControl) -> None:
        self._app = app
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if not is_recommendation(scope):
            await self._app(scope, receive, send)
            return
        if not self._admission.acquire("http"):
            for message in _REJECTION:
                await send(message)
            return
        in_flight = True

        async def send_and_release(message: Message) -> None:
            nonlocal in_flight
            if in_flight:
                in_flight = False
                self._admission.release()
                if message.get("status", 200) >= _SERVER_ERROR:
                    _FAILED_HTTP.inc()
            await send(message)

        try:
            await self._app(scope, receive, send_and_release)
        finally:
            if in_flight:
                self._admission.release()


class RejectingConnection(HttpToolsProtocol):
    """Uvicorn's connection, which rejects requests itself, at half the cost: without a task and an ASGI scope.

    The first request of a connection, and every request after which it closes, are left to ``AdmissionMiddleware``.

    Args:
        admission: admits or rejects.
        settings: uvicorn's own.
    """

    def __init__(self, admission: AdmissionControl, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._admission = admission

    def on_headers_complete(self) -> None:
        """Reject the request, or pass it on."""
        headers = self.server_state.default_headers
        if (
            self.cycle is not None
            and self.cycle.response_complete
            and self.url.startswith(_RAW_PATHS)
            and self.parser.get_method() == b"POST"
            and self.parser.should_keep_alive()
            and CLOSE not in headers
            and self._admission.rejects("http")
        ):
            # The previous response stays current and is complete, so uvicorn discards the body of this request.
            self.transport.write(_STATUS_LINE + b"".join(b"%b: %b\r\n" % header for header in headers) + _HEAD_AND_BODY)
            self.on_response_complete()
        else:
            super().on_headers_complete()


def is_recommendation(scope: Scope) -> bool:
    """Whether a request is for a recommendation."""
    return scope["type"] == "http" and scope["method"] == "POST" and str(scope["path"]).startswith(_PATHS)
