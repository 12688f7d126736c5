"""How many recommendations may be under way at once; one more is refused at once, over HTTP and gRPC alike.

A recommendation is under way from when its request is whole until its answer begins to leave, so neither those who send
slowly nor those who read slowly hold a place.

A queue that stands only makes everybody late, one that passes does no harm. So a burst may go beyond the limit, but not
for long: whether the server has been at ease within the last moment tells the one from the other, which is CoDel's idea
(RFC 8289) with requests in the place of packets. What is refused must cost next to nothing, or refusing is what an
overloaded server is busy with: over HTTP the body is not read, and on a connection in use no request is made of it.
"""

from time import monotonic
from typing import Any

from prometheus_client import Counter, Gauge
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

MAX_IN_FLIGHT = 8
"""Two cores are busy with six; more wait for each other and gain nothing."""

_BURST = 3
"""So many times the limit are let in by a burst: at 300 requests a second they are done within half a deadline."""

_BURST_S = 0.1
"""How long after the server was last at ease."""

_EASE = 0.25
"""It is at ease with fewer than this share of the limit."""

_PATHS = ("/v1/models/recommender", "/v2/models/recommender")
_RAW_PATHS = tuple(path.encode() for path in _PATHS)

_IN_FLIGHT = Gauge("winnow_in_flight", "Recommendations under way.")
_REFUSED = Counter("winnow_refused_total", "Recommendations refused because too many were under way.", ("protocol",))

BUSY = "too many requests are under way: try again in a second, or ask another replica"

CLOSE = (b"connection", b"close")
"""The header of every answer of a server that leaves."""

_BODY = b'{"error":"' + BUSY.encode() + b'"}'
_HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", str(len(_BODY)).encode()),
    (b"retry-after", b"1"),
]
_REFUSAL: tuple[Message, Message] = (
    {"type": "http.response.start", "status": 503, "headers": _HEADERS},
    {"type": "http.response.body", "body": _BODY},
)
_STATUS = STATUS_LINE[503]
_REST = b"".join(b"%b: %b\r\n" % header for header in _HEADERS) + b"\r\n" + _BODY


class AdmissionControl:
    """Counts the recommendations under way; all in one event loop, so nothing is locked.

    Args:
        most: how many there may be for longer than a moment.
    """

    def __init__(self, most: int = MAX_IN_FLIGHT) -> None:
        self._most = most
        self._ease = max(1.0, _EASE * most)
        self._at_ease = 0.0
        self._count = 0
        self._refused = {protocol: _REFUSED.labels(protocol) for protocol in ("http", "grpc")}
        _IN_FLIGHT.set_function(lambda: self._count)

    def rejects(self, protocol: str) -> bool:
        """Whether there is no room for one more, which is then counted as refused."""
        now = monotonic()
        if self._count < self._ease:
            self._at_ease = now
        elif self._count >= self._most * (_BURST if now - self._at_ease < _BURST_S else 1):
            self._refused[protocol].inc()
            return True
        return False

    def acquire(self, protocol: str) -> bool:
        """Count one more; false, and not counted, where there is no room for it."""
        if self.rejects(protocol):
            return False
        self._count += 1
        return True

    def release(self) -> None:
        """One that entered is done."""
        self._count -= 1


class Admission:
    """ASGI middleware around whole requests: answers 503 where there is no room; health, metrics and all else pass."""

    def __init__(self, app: ASGIApp, in_flight: AdmissionControl) -> None:
        self._app = app
        self._in_flight = in_flight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection's request."""
        if not recommends(scope):
            await self._app(scope, receive, send)
            return
        if not self._in_flight.acquire("http"):
            for message in _REFUSAL:
                await send(message)
            return
        inside = True

        async def leaving(message: Message) -> None:
            nonlocal inside
            if inside:
                inside = False
                self._in_flight.release()
            await send(message)

        try:
            await self._app(scope, receive, leaving)
        finally:
            if inside:
                self._in_flight.release()


class Refusing(HttpToolsProtocol):
    """Uvicorn's connection, which says by itself what `Admission` would, at half the cost: no task, no scope.

    The first request of a connection, and all where it is to close, are left to `Admission`.
    """

    def __init__(self, in_flight: AdmissionControl, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._in_flight = in_flight

    def on_headers_complete(self) -> None:
        """Refuse, or begin the request."""
        headers = self.server_state.default_headers
        if (
            self.cycle is not None
            and self.cycle.response_complete
            and self.url.startswith(_RAW_PATHS)
            and self.parser.get_method() == b"POST"
            and self.parser.should_keep_alive()
            and CLOSE not in headers
            and self._in_flight.rejects("http")
        ):
            # The answer before stays the current one, and is complete: so the body is thrown away.
            self.transport.write(_STATUS + b"".join(b"%b: %b\r\n" % header for header in headers) + _REST)
            self.on_response_complete()
        else:
            super().on_headers_complete()


def recommends(scope: Scope) -> bool:
    """Whether a request asks for a recommendation."""
    return scope["type"] == "http" and scope["method"] == "POST" and str(scope["path"]).startswith(_PATHS)
