"""Uvicorn's connection, which begins a request when its body is there, and waits for nobody for ever.

Uvicorn calls the application as soon as the headers are there, and has no time limit for either. So a client that sends
slowly held a place among the recommendations under way, and one that stopped sending held it for good. Here a request
that is not whole has no task, takes no place and is not even looked at.
"""

from time import monotonic
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from recommender_transformer.serving.connections.admission import AdmissionControl, Refusing
from recommender_transformer.serving.connections.connection_limits import GRACE_S, HEAD_S, SLOWEST, SMALL, Crowd, Waiting, end
from winnow.request import MAX_BODY_BYTES

DRAINED = 16
"""Times the limit that is read of a body that is too large: a client that is still sending when its connection closes
does not see the answer."""

_HEAD_BYTES = 64 * 1024

_ANSWERS = {
    "slow": (408, "the request was not there in time"),
    "crowded": (503, "too many requests are being sent at once, and this one was the furthest behind"),
    "memory": (503, "too many large bodies are being sent at once, and this one was the furthest behind"),
    "head": (431, f"headers: must be at most {_HEAD_BYTES} bytes"),
}


class Receiving(Refusing):
    """A connection.

    Args:
        waiting: where it is told that this connection keeps the server waiting.
        in_flight: the recommendations under way.
        settings: uvicorn's own.
    """

    def __init__(self, waiting: Waiting, in_flight: AdmissionControl, *args: Any, **settings: Any) -> None:
        super().__init__(in_flight, *args, **settings)
        self.address = ""
        self.held = 0
        self._waiting = waiting
        self._crowd: Crowd | None = None
        self.began = monotonic()
        # A request that is not whole: has its first byte come, are its headers there, how much of its body?
        self._partial, self._begun, self._headed = True, False, False
        self._number = self._head_bytes = self._received = 0
        self._kept: tuple[RequestResponseCycle, Any] | None = None
        self._answering = self._draining = False
        self._unread_until: float | None = None

    @property
    def earned(self) -> float:
        """Seconds that it has gained by what it has sent."""
        return self._received / SLOWEST

    @property
    def due(self) -> float:
        """When its time runs out."""
        if not self._partial:
            return self.began + self.timeout_keep_alive
        return self.began + self.earned + (GRACE_S if self._headed else HEAD_S)

    def connection_made(self, transport: Any) -> None:
        """A client has come."""
        super().connection_made(transport)
        self.address = self.client[0] if self.client else ""
        self._place()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has gone."""
        super().connection_lost(exc)
        self._kept = None
        self._release()
        self._place()

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        headless, number = self._begun and not self._headed, self._number
        super().data_received(data)
        # Of one request: many may have come in between.
        if headless and not self._headed and number == self._number:
            self._head_bytes += len(data)
            if self._head_bytes > _HEAD_BYTES:
                self._say(*_ANSWERS["head"])
        self._place()

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._number += 1
        self._partial, self._begun, self._headed = True, True, False
        self._head_bytes = self._received = 0
        self.began = monotonic()

    def on_headers_complete(self) -> None:
        """Refuse, or wait for the body."""
        self._headed = True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._received += len(body)
        super().on_body(body)
        if self._received > DRAINED * MAX_BODY_BYTES:
            self.transport.abort()
        elif self._kept is not None:
            # Uvicorn stops reading until the application takes what is there.
            self.flow.resume_reading()
            if self._received > MAX_BODY_BYTES:
                self._begin(draining=True)
            elif (more := len(self.cycle.body) - SMALL - self.held) > 0:
                self.held += more
                self._waiting.hold(more)

    def on_message_complete(self) -> None:
        """The request is whole."""
        super().on_message_complete()
        self._partial = self._begun = self._draining = False
        if self._kept is not None:
            self._begin()

    def on_response_complete(self) -> None:
        """The answer has been written."""
        self._answering = False
        self._release()
        # What has come of the next request had to wait for this answer.
        self.began = monotonic()
        if not self._partial:
            self._received = 0
        super().on_response_complete()
        self._place()

    def shutdown(self) -> None:
        """The server leaves: what is not whole by now it does not wait for."""
        if self._answering:
            super().shutdown()
        else:
            self.transport.close()

    def end(self, reason: str) -> None:
        """Close the connection, with an answer where a request has begun."""
        if reason in _ANSWERS and self._begun and (self._kept is not None or not self._headed):
            self._say(*_ANSWERS[reason])
        elif reason == "unread" or self._draining:
            # Nothing more can be written, or an answer is under way.
            self.transport.abort()
        else:
            self.transport.close()
        self._kept = None
        self._release()
        self._place()

    def watch_reading(self, now: float) -> None:
        """End the connection if what was written lies unread for too long."""
        unread = 0 if self.transport.is_closing() else self.transport.get_write_buffer_size()
        if not unread:
            self._unread_until = None
        elif self._unread_until is None:
            self._unread_until = now + GRACE_S + unread / SLOWEST
        elif now > self._unread_until:
            end(self, "unread")

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Uvicorn would begin: with what is whole only."""
        self._kept = cycle, app
        if not cycle.more_body:
            self._begin()
        elif cycle.waiting_for_100_continue:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            cycle.waiting_for_100_continue = False

    def _begin(self, draining: bool = False) -> None:
        assert self._kept is not None
        (cycle, app), self._kept = self._kept, None
        self._answering, self._draining = True, draining
        super()._start_asgi_task(cycle, app)

    def _place(self) -> None:
        """Be counted among those who send, those who lie idle, or, while it is the server's turn, neither."""
        crowd: Crowd | None = None
        if self.transport.is_closing():
            pass
        elif self._partial and (not self._answering or self._draining):
            crowd = self._waiting.sending
        elif not self._answering:
            crowd = self._waiting.idle
        if crowd is not self._crowd:
            before, self._crowd = self._crowd, crowd
            if before is not None:
                before.leave(self)
            if crowd is not None:
                crowd.join(self)

    def _release(self) -> None:
        self._waiting.hold(-self.held)
        self.held = 0

    def _say(self, status: int, error: str) -> None:
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
