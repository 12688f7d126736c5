"""Uvicorn's HTTP connection, which starts the application once a request is complete, and bounds the time to send it.

Uvicorn starts the application at the end of the headers, and has no time limit for headers or bodies. So a slow client
would occupy a place among the recommendations in flight, and a client that stops sending would occupy it for good.
Here an incomplete request has no task, is not admitted and is not parsed further.
"""

from time import monotonic
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from recommender_transformer.serving.connections.admission import AdmissionControl, RejectingConnection
from recommender_transformer.serving.connections.connection_limits import (
    GRACE_S,
    HEAD_S,
    MIN_RATE,
    UNCOUNTED_BYTES,
    ConnectionGroup,
    WaitingConnections,
    close,
)
from winnow.request import MAX_BODY_BYTES

DISCARD_FACTOR = 16
"""A body beyond the limit is read and discarded up to this multiple of it: a client that is still sending when its
connection closes does not read the response."""

_MAX_HEAD_BYTES = 64 * 1024

_RESPONSES = {
    "slow": (408, "the request was not complete in time"),
    "crowded": (503, "too many requests are being sent at once, and this one was the furthest behind"),
    "memory": (503, "too many large bodies are being sent at once, and this one was the furthest behind"),
    "head": (431, f"headers: must be at most {_MAX_HEAD_BYTES} bytes"),
}


class HttpConnection(RejectingConnection):
    """A connection with time limits.

    Args:
        waiting: the connections that are waiting for their clients; this one joins and leaves them.
        admission: admits or rejects recommendations.
        settings: uvicorn's own.
    """

    def __init__(self, waiting: WaitingConnections, admission: AdmissionControl, *args: Any, **settings: Any) -> None:
        super().__init__(admission, *args, **settings)
        self.address = ""
        self.held = 0
        self._waiting = waiting
        self._group: ConnectionGroup | None = None
        self.began = monotonic()
        # State of an incomplete request: whether its first byte and its headers are here, and the bytes of its body.
        self._incomplete, self._begun, self._has_headers = True, False, False
        self._number = self._head_bytes = self._received = 0
        self._pending: tuple[RequestResponseCycle, Any] | None = None
        self._answering = self._discarding = False
        self._unread_until: float | None = None

    @property
    def earned(self) -> float:
        """Seconds added to its time by the bytes that it has sent."""
        return self._received / MIN_RATE

    @property
    def due(self) -> float:
        """When its time is over, by the monotonic clock."""
        if not self._incomplete:
            return self.began + self.timeout_keep_alive
        return self.began + self.earned + (GRACE_S if self._has_headers else HEAD_S)

    def connection_made(self, transport: Any) -> None:
        """A client has connected."""
        super().connection_made(transport)
        self.address = self.client[0] if self.client else ""
        self._join_group()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        super().connection_lost(exc)
        self._pending = None
        self._release_held()
        self._join_group()

    def data_received(self, data: bytes) -> None:
        """Bytes have arrived."""
        in_headers, number = self._begun and not self._has_headers, self._number
        super().data_received(data)
        # Count the bytes only if they belong to the same request: the data may contain several.
        if in_headers and not self._has_headers and number == self._number:
            self._head_bytes += len(data)
            if self._head_bytes > _MAX_HEAD_BYTES:
                self._respond(*_RESPONSES["head"])
        self._join_group()

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._number += 1
        self._incomplete, self._begun, self._has_headers = True, True, False
        self._head_bytes = self._received = 0
        self.began = monotonic()

    def on_headers_complete(self) -> None:
        """Reject the request, or wait for its body."""
        self._has_headers = True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._received += len(body)
        super().on_body(body)
        if self._received > DISCARD_FACTOR * MAX_BODY_BYTES:
            self.transport.abort()
        elif self._pending is not None:
            # Uvicorn pauses reading until the application takes the body.
            self.flow.resume_reading()
            if self._received > MAX_BODY_BYTES:
                self._start(discarding=True)
            elif (more := len(self.cycle.body) - UNCOUNTED_BYTES - self.held) > 0:
                self.held += more
                self._waiting.hold(more)

    def on_message_complete(self) -> None:
        """The request is complete."""
        super().on_message_complete()
        self._incomplete = self._begun = self._discarding = False
        if self._pending is not None:
            self._start()

    def on_response_complete(self) -> None:
        """The response has been written."""
        self._answering = False
        self._release_held()
        # The part of the next request that is here already had to wait for this response.
        self.began = monotonic()
        if not self._incomplete:
            self._received = 0
        super().on_response_complete()
        self._join_group()

    def shutdown(self) -> None:
        """The server shuts down: close the connection unless a complete request is being answered."""
        if self._answering:
            super().shutdown()
        else:
            self.transport.close()

    def close_if_idle(self) -> None:
        """Close the connection unless a request has begun or is being answered."""
        if not (self._begun or self._answering or self._pending is not None):
            self.transport.close()

    def end(self, reason: str) -> None:
        """Close the connection, with a response if a request has begun."""
        if reason in _RESPONSES and self._begun and (self._pending is not None or not self._has_headers):
            self._respond(*_RESPONSES[reason])
        elif reason == "unread" or self._discarding:
            # The client does not read, or a response is being written already.
            self.transport.abort()
        else:
            self.transport.close()
        self._pending = None
        self._release_held()
        self._join_group()

    def check_unread(self, now: float) -> None:
        """Close the connection if the client has not read the response for too long."""
        unread = 0 if self.transport.is_closing() else self.transport.get_write_buffer_size()
        if not unread:
            self._unread_until = None
        elif self._unread_until is None:
            self._unread_until = now + GRACE_S + unread / MIN_RATE
        elif now > self._unread_until:
            close(self, "unread")

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Uvicorn calls this at the end of the headers: start the application only if the request is complete."""
        self._pending = cycle, app
        if not cycle.more_body:
            self._start()
        elif cycle.waiting_for_100_continue:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            cycle.waiting_for_100_continue = False

    def _start(self, discarding: bool = False) -> None:
        assert self._pending is not None
        (cycle, app), self._pending = self._pending, None
        self._answering, self._discarding = True, discarding
        super()._start_asgi_task(cycle, app)

    def _join_group(self) -> None:
        """Join the sending or the idle connections, or neither while the server is answering."""
        group: ConnectionGroup | None = None
        if self.transport.is_closing():
            pass
        elif self._incomplete and (not self._answering or self._discarding):
            group = self._waiting.sending
        elif not self._answering:
            group = self._waiting.idle
        if group is not self._group:
            previous, self._group = self._group, group
            if previous is not None:
                previous.remove(self)
            if group is not None:
                group.add(self)

    def _release_held(self) -> None:
        self._waiting.hold(-self.held)
        self.held = 0

    def _respond(self, status: int, error: str) -> None:
        body = b'{"error":"%b"}' % error.encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        if status == 503:
            headers.append((b"retry-after", b"1"))
        self.transport.write(STATUS_LINE[status] + b"".join(b"%b: %b\r\n" % pair for pair in headers) + b"\r\n" + body)
        self.transport.close()
