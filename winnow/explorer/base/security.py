"""The middleware before every view: headers of every response, allowed hosts, and what a POST must show.

A POST is refused in read-only mode, from another origin, and without a token; its form is read here, within a bound,
so that no view can forget to check.
"""

import logging
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from winnow.explorer.base.pages import error_page
from winnow.explorer.base.settings import ExplorerSettings
from winnow.explorer.base.tokens import COOKIE, FIELD, HEADER, Tokens
from winnow.fields import MAX_MEDIA_BYTES

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "font-src 'self'",
        "form-action 'self'",
        "frame-src 'self'",
        "frame-ancestors 'self'",
        "base-uri 'none'",
    )
)
HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}

MAX_POST_BYTES = MAX_MEDIA_BYTES + (1 << 20)
"""Of a form: one picture or sound of the largest size, and its fields."""

_log = logging.getLogger(__name__)
_READS = ("GET", "HEAD")
_MAX_FIELDS = 100


class Refused(Exception):
    """A request is refused: status, and the sentence for the visitor."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Security:
    """ASGI middleware.

    Args:
        app: the application.
        settings: of the explorer.
        tokens: issue and check the tokens of forms.
    """

    def __init__(self, app: ASGIApp, settings: ExplorerSettings, tokens: Tokens) -> None:
        self._app, self._settings, self._tokens = app, settings, tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        seed, is_new = self._tokens.seed(request.cookies.get(COOKIE))
        state = scope.setdefault("state", {})
        state["csrf"] = self._tokens.token(seed)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    # A report, which is a document of others, has a policy of its own.
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
                if is_new and headers.get("content-type", "").startswith("text/html"):
                    headers.append("set-cookie", f"{COOKIE}={seed}; Path=/; HttpOnly; SameSite=Strict")
            await send(message)

        try:
            self._check_host(request.headers)
            if scope["method"] not in _READS:
                receive = await self._checked_body(request)
        except Refused as refusal:
            page = error_page(request, refusal.status, str(refusal))
            await page(scope, receive, send_with_headers)
            return
        await self._guarded(request, receive, send_with_headers)

    async def _guarded(self, request: Request, receive: Receive, send: Send) -> None:
        """Call the application. A fault of it is logged and gets a page: Starlette's own would lack the headers."""
        started = False

        async def send_noting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(request.scope, receive, send_noting)
        except Exception:
            _log.exception("%s %s", request.method, request.url.path)
            if started:
                raise
            page = error_page(request, 500, "The explorer failed; its log has the reason.")
            await page(request.scope, receive, send)

    def _check_host(self, headers: Headers) -> None:
        if _hostname(headers.get("host", "")) not in self._settings.hosts:
            raise Refused(400, "This explorer does not answer under that name; allow it with --allow-host.")

    async def _checked_body(self, request: Request) -> Receive:
        """Check a request that may write; returns the ``receive`` that gives its body again."""
        if self._settings.read_only:
            raise Refused(403, "This explorer is read-only: start it without --read-only to change things.")
        if not _same_origin(request.headers):
            raise Refused(403, "The request comes from another site: open the page itself, and send its form again.")
        body = await _read(request)
        sent = {"type": "http.request", "body": body, "more_body": False}
        parsed = Request(request.scope, _once(sent))
        token = request.headers.get(HEADER, "")
        if not token:
            try:
                form = await parsed.form(max_files=1, max_fields=_MAX_FIELDS, max_part_size=1 << 20)
            except MultiPartException as error:
                raise Refused(400, f"The form cannot be read: {error.message}") from None
            token = str(form.get(FIELD, ""))
            await form.close()
        if not self._tokens.holds(request.cookies.get(COOKIE), token):
            raise Refused(403, "The form is too old: go back, load the page again, and send it once more.")
        return _once(sent)


def _hostname(host: str) -> str:
    """The name in a ``Host`` header, without port."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).lower()


def _same_origin(headers: Headers) -> bool:
    """Whether the request comes from a page of this server. Browsers send ``Origin`` with every POST."""
    origin = urlsplit(headers.get("origin", ""))
    return origin.scheme in ("http", "https") and origin.netloc == headers.get("host", "")


async def _read(request: Request) -> bytes:
    """The body, of at most :data:`MAX_POST_BYTES`."""
    parts, count = [], 0
    async for part in request.stream():
        count += len(part)
        if count > MAX_POST_BYTES:
            raise Refused(413, f"The form has more than {MAX_POST_BYTES >> 20} MiB: choose a smaller file.")
        parts.append(part)
    return b"".join(parts)


def _once(*messages: Message) -> Receive:
    """A ``receive`` that gives these messages, and then that the client has gone."""
    left: Iterable[Message] = iter(messages)

    async def receive() -> Message:
        return next(iter(left), {"type": "http.disconnect"})

    return receive
