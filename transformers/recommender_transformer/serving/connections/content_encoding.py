"""Compressed bodies (``Content-Encoding: gzip`` or ``deflate``), decoded within the limit of a body.

A few kilobytes can unpack to gigabytes. So nothing is unpacked beyond the limit, and large bodies are unpacked in a
thread.
"""

import asyncio
import zlib

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send

from recommender_transformer.serving.connections.request_body import Replay, too_large
from winnow.request import quote

_GZIP = ("gzip", "x-gzip")
_TAKEN = "gzip, deflate"

_MEMBERS = 64
"""A gzip body may be several, one after the other. Each costs some work however small it is."""

_INLINE = 16 * 1024
"""What is larger than this, packed, is unpacked in a thread; so is what turns out eight times as large unpacked."""


class TooLarge(Exception):
    """There is more than the limit."""


class Broken(Exception):
    """It cannot be unpacked."""


class Decoding:
    """ASGI middleware, within the limit of bodies: what comes after it sees no encoding."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection's request."""
        encoding = Headers(scope=scope).get("content-encoding", "").strip().lower() if scope["type"] == "http" else ""
        if encoding in ("", "identity"):
            await self._app(scope, receive, send)
            return
        if encoding not in (*_GZIP, "deflate"):
            error = f"content-encoding: must be gzip, deflate or identity, got {quote(encoding)}"
            refusal = JSONResponse({"error": error}, status_code=415, headers={"Accept-Encoding": _TAKEN})
            await refusal(scope, receive, send)
            return
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        packed = message.get("body", b"")
        try:
            body = await self._unpacked(packed, encoding)
        except TooLarge:
            await too_large(self._limit)(scope, receive, send)
            return
        except Broken as error:
            refusal = JSONResponse({"error": f"body: cannot be read as {encoding}: {error}"}, status_code=400)
            await refusal(scope, receive, send)
            return
        scope = {**scope, "headers": list(scope["headers"])}
        headers = MutableHeaders(scope=scope)
        del headers["content-encoding"]
        headers["content-length"] = str(len(body))
        await self._app(scope, Replay(body, receive), send)

    async def _unpacked(self, packed: bytes, encoding: str) -> bytes:
        if len(packed) <= _INLINE:
            try:
                return decode(packed, encoding, min(8 * _INLINE, self._limit))
            except TooLarge:
                pass
        return await asyncio.to_thread(decode, packed, encoding, self._limit)


def decode(packed: bytes, encoding: str, limit: int) -> bytes:
    """Unpack a body.

    Args:
        packed: the body.
        encoding: ``gzip``, ``x-gzip`` or ``deflate``; the last with zlib's frame, as it should be, or bare.
        limit: bytes of the result at most; no more than that is ever unpacked.

    Raises:
        TooLarge: there is more.
        Broken: it is none, it is cut short, or something follows it.
    """
    if encoding in _GZIP:
        window = zlib.MAX_WBITS | 16
    else:
        framed = len(packed) > 1 and packed[0] & 0x0F == 8 and int.from_bytes(packed[:2]) % 31 == 0
        window = zlib.MAX_WBITS if framed else -zlib.MAX_WBITS
    parts: list[bytes] = []
    room = limit
    for _ in range(_MEMBERS):
        unpacker = zlib.decompressobj(window)
        try:
            # Zero would mean without a limit; the byte too many tells that there is more.
            part = unpacker.decompress(packed, room + 1)
        except zlib.error as error:
            raise Broken(error) from None
        room -= len(part)
        if room < 0:
            raise TooLarge
        parts.append(part)
        if not unpacker.eof:
            raise Broken("it is cut short")
        packed = unpacker.unused_data
        if not packed:
            return b"".join(parts)
        if encoding not in _GZIP:
            break
    raise Broken("more follows its end")
