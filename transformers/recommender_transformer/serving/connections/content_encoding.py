"""Decompresses request bodies (``Content-Encoding: gzip`` or ``deflate``), up to the limit of a body.

A few kilobytes can decompress to gigabytes, so decompression stops at the limit. Large bodies are decompressed in a
thread.
"""

import asyncio
import zlib

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send

from recommender_transformer.serving.connections.request_body import ReplayedBody, too_large
from winnow.request import quote

_GZIP = ("gzip", "x-gzip")
_ACCEPTED = "gzip, deflate"

_MAX_MEMBERS = 64
"""A gzip body may consist of several members; each costs some work, however small it is."""

_INLINE_BYTES = 16 * 1024
"""A larger compressed body is decompressed in a thread; so is one that decompresses to over eight times as much."""


class TooLarge(Exception):
    """The decompressed body exceeds the limit."""


class Malformed(Exception):
    """The body cannot be decompressed."""


class ContentEncodingMiddleware:
    """ASGI middleware inside ``BodyLimitMiddleware``: the application receives decompressed bodies.

    Args:
        app: the application.
        limit: bytes of a decompressed body.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        encoding = Headers(scope=scope).get("content-encoding", "").strip().lower() if scope["type"] == "http" else ""
        if encoding in ("", "identity"):
            await self._app(scope, receive, send)
            return
        if encoding not in (*_GZIP, "deflate"):
            error = f"content-encoding: must be gzip, deflate or identity, got {quote(encoding)}"
            response = JSONResponse({"error": error}, status_code=415, headers={"Accept-Encoding": _ACCEPTED})
            await response(scope, receive, send)
            return
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        compressed = message.get("body", b"")
        try:
            body = await self._decompress(compressed, encoding)
        except TooLarge:
            await too_large(self._limit)(scope, receive, send)
            return
        except Malformed as error:
            response = JSONResponse({"error": f"body: cannot be read as {encoding}: {error}"}, status_code=400)
            await response(scope, receive, send)
            return
        scope = {**scope, "headers": list(scope["headers"])}
        headers = MutableHeaders(scope=scope)
        del headers["content-encoding"]
        headers["content-length"] = str(len(body))
        await self._app(scope, ReplayedBody(body, receive), send)

    async def _decompress(self, compressed: bytes, encoding: str) -> bytes:
        if len(compressed) <= _INLINE_BYTES:
            try:
                return decompress(compressed, encoding, min(8 * _INLINE_BYTES, self._limit))
            except TooLarge:
                pass
        return await asyncio.to_thread(decompress, compressed, encoding, self._limit)


def decompress(compressed: bytes, encoding: str, limit: int) -> bytes:
    """Decompress a body.

    Args:
        compressed: the body.
        encoding: ``gzip``, ``x-gzip`` or ``deflate``; the last in zlib's format, as RFC 9110 requires, or raw.
        limit: maximum bytes of the result; decompression stops there.

    Raises:
        TooLarge: the result exceeds ``limit``.
        Malformed: the body is not in this encoding, is truncated, or is followed by other data.
    """
    if encoding in _GZIP:
        window = zlib.MAX_WBITS | 16
    else:
        has_header = len(compressed) > 1 and compressed[0] & 0x0F == 8 and int.from_bytes(compressed[:2]) % 31 == 0
        window = zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS
    parts: list[bytes] = []
    remaining = limit
    for _ in range(_MAX_MEMBERS):
        decompressor = zlib.decompressobj(window)
        try:
            # One byte beyond the limit shows that there is more; 0 would mean no limit.
            part = decompressor.decompress(compressed, remaining + 1)
        except zlib.error as error:
            raise Malformed(error) from None
        remaining -= len(part)
        if remaining < 0:
            raise TooLarge
        parts.append(part)
        if not decompressor.eof:
            raise Malformed("it is truncated")
        compressed = decompressor.unused_data
        if not compressed:
            return b"".join(parts)
        if encoding not in _GZIP:
            break
    raise Malformed("data follows its end")
