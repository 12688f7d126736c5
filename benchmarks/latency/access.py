"""What access control adds to a request: microseconds of the transformer's core, by kind of caller.

The middleware runs around an application that does nothing, so the figures are its own. Beside them a command to Redis,
which is what a limit that is counted there for each request would cost; the answer's time comes on top.
"""

import asyncio
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from redis.asyncio import Redis
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from benchmarks.common.rows import Row, row
from recommender_transformer.serving.access.control import AccessControl
from recommender_transformer.serving.access.middleware import AccessMiddleware
from tests.support.access.calls import AUDIENCE, ISSUER, Issuer, entry, write
from winnow.local.redis import server, url
from winnow.ports import Ports
from winnow.settings.access import MOST_KEYS, new_key

ROUNDS, REQUESTS = 15, 2000
MOST_US = 20.0

_HEADERS = [
    (b"host", b"recommender.example.com"),
    (b"user-agent", b"python-httpx/0.28"),
    (b"accept", b"*/*"),
    (b"content-type", b"application/json"),
    (b"content-length", b"43"),
]


def measure() -> list[Row]:
    """Run the middleware with a file of as many keys as it may have."""
    with tempfile.TemporaryDirectory(prefix="winnow-access-") as scratch:
        folder, port = Path(scratch), Ports.free().redis
        with server(folder / "redis", port, folder / "redis.log"):
            return asyncio.run(_measure(folder, url(port)))


async def _measure(folder: Path, redis_url: str) -> list[Row]:
    issuer, plain, limited = Issuer(), new_key(), new_key()
    issuer.write(folder / "jwks.json")
    others = [entry(f"other-{number}", new_key()) for number in range(MOST_KEYS - 2)]
    keys = [entry("plain", plain), entry("limited", limited, rate="1000000/s"), *others]
    jwt = {"issuer": ISSUER, "audience": AUDIENCE, "jwks": "jwks.json", "algorithms": ["RS256"]}
    access = AccessControl(write(folder / "access.yaml", keys=keys, jwt=jwt, open=["recommend"]), redis_url)
    following = asyncio.create_task(access.follow())
    fresh = iter([issuer.token(jti=str(number)) for number in range(ROUNDS * 100)])
    without = await _us(_nothing, lambda: None)
    guarded = AccessMiddleware(_nothing, access)
    token = issuer.token()
    rows = []
    cases: list[tuple[str, Callable[[], str | None]]] = [
        ("an open scope, without a key", lambda: None),
        (f"a key, one of {MOST_KEYS}", lambda: plain),
        ("a key with a rate limit", lambda: limited),
        ("a token that was seen before", lambda: token),
    ]
    for name, credential in cases:
        rows.append(row(f"{name}, added", await _us(guarded, credential) - without, "µs", f"<= {MOST_US:g}"))
    added = await _us(guarded, lambda: next(fresh), 100) - without
    rows.append(row("a token that is new, with an RSA signature of 2048 bits, added", added, "µs"))
    async with Redis.from_url(redis_url) as client:
        rows.append(row("a command to Redis, waiting not counted", await _command_us(client), "µs"))
    following.cancel()
    return rows


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """The application."""


async def _us(app: ASGIApp, credential: Callable[[], str | None], requests: int = REQUESTS) -> float:
    """Processor time per request: the median of the rounds."""

    async def receive() -> Message:
        return {"type": "http.request", "body": json.dumps({}).encode(), "more_body": False}

    async def send(message: Message) -> None:
        raise AssertionError(message)

    took = []
    for _ in range(ROUNDS):
        scopes = [_scope(credential()) for _ in range(requests)]
        began = time.process_time()
        for scope in scopes:
            await app(scope, receive, send)
        took.append((time.process_time() - began) / requests * 1e6)
        # The limits report to Redis meanwhile.
        await asyncio.sleep(0.01)
    return float(np.median(took))


def _scope(credential: str | None) -> Scope:
    headers: Sequence[tuple[bytes, bytes]] = _HEADERS
    if credential is not None:
        headers = [*_HEADERS, (b"authorization", b"Bearer " + credential.encode())]
    return {"type": "http", "method": "POST", "path": "/v1/models/recommender:predict", "headers": headers}


async def _command_us(client: Redis) -> float:
    await client.ping()
    began = time.process_time()
    for _ in range(REQUESTS):
        await client.incr("calls")
    return (time.process_time() - began) / REQUESTS * 1e6
