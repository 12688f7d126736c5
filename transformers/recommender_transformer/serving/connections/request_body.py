"""Request bodies over HTTP: read completely and up to a limit before the application runs."""

from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recommender_transformer.serving.connections.admission import is_recommendation
from recommender_transformer.serving.connections.disconnect import cancel_on_disconnect
from recommender_transformer.serving.connections.http_connection import DISCARD_FACTOR


class BodyLimitMiddleware:
    """The outermost ASGI middleware: answers 413 to a body beyond the limit, without keeping it in memory.

    A body moderately above the limit is read to its end and discarded, so that the client reads the response.

    Args:
        app: the application.
        limit: bytes of a body.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body, size, more = bytearray(), 0, True
        while more and size <= DISCARD_FACTOR * self._limit:
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
        work = self._app(scope, ReplayedBody(bytes(body), receive), send)
        await (cancel_on_disconnect(work, receive) if is_recommendation(scope) else work)


class ReplayedBody:
    """A ``receive`` that returns a body that was read already, then the messages of the connection."""

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
    """The response to a body beyond the limit."""
    return JSONResponse({"error": f"body: must be at most {limit} bytes"}, status_code=413)
