"""Access control over HTTP."""

from starlette.types import ASGIApp, Receive, Scope, Send

from recommender_transformer.serving.access.control import AccessControl
from recommender_transformer.serving.access.refusals import AccessRefused


class AccessMiddleware:
    """ASGI middleware inside ``BodyLimitMiddleware``: refuses calls before they take a place of those in flight.

    Args:
        app: the application.
        access: admits or refuses.
    """

    def __init__(self, app: ASGIApp, access: AccessControl) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http":
            try:
                self._access.admit_http(scope["method"], scope["path"], scope["headers"])
            except AccessRefused as refusal:
                body = refusal.body
                headers = [(name.encode(), value.encode()) for name, value in refusal.headers]
                headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
                await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
                await send({"type": "http.response.body", "body": body})
                return
        await self._app(scope, receive, send)
