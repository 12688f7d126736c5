"""Bodies of HTTP requests: whole, no larger than the limit, and given up when the client leaves."""

from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recommender_transformer.serving.connections.admission import recommends
from recommender_transformer.serving.connections.disconnect import while_connected
from recommender_transformer.serving.connections.http_connection import DRAINED


class BodyLimit:
    """ASGI middleware, the outermost: a body beyond the limit is answered 413 and never held in memory.

    What is moderately too large is read to its end and thrown away.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection's request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body, size, more = bytearray(), 0, True
        while more and size <= DRAINED * self._limit:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size += len(message.get("body", b""))
            if size <= self._limit:
                body += message.get("body", b"")
            else:
                body.clear()
            more = message.get("more_body", False)
        if size > self._limit:
            await too_large(self._limit)(scope, receive, send)
            return
        work = self._app(scope, Replay(bytes(body), receive), send)
        await (while_connected(work, receive) if recommends(scope) else work)


class Replay:
    """A ``receive`` that gives the body that was read already, then whatever comes."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        """The next message."""
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


def too_large(limit: int) -> JSONResponse:
    """The answer to a body beyond the limit."""
    return JSONResponse({"error": f"body: must be at most {limit} bytes"}, status_code=413)
