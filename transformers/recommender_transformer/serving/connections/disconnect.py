"""A client that leaves takes its work along: what it asked for is cancelled, down to the calls to Redis and Triton.

gRPC does this by itself: its server cancels the call's task. HTTP's server only tells those who listen.
"""

import asyncio
from collections.abc import Awaitable

from prometheus_client import Counter
from starlette.types import Receive

_LEFT = Counter("winnow_clients_left_total", "Recommendations cancelled because the client closed its connection.")


async def while_connected(work: Awaitable[None], receive: Receive) -> None:
    """Await ``work``; cancel it when the client leaves first.

    Args:
        work: answers a request whose body has been read.
        receive: of the connection; nobody else may be waiting for its messages.
    """
    worker = asyncio.current_task()
    assert worker is not None
    left = False

    async def listen() -> None:
        nonlocal left
        while (await receive())["type"] != "http.disconnect":
            pass
        left = True
        worker.cancel()

    listener = asyncio.create_task(listen())
    try:
        await work
    except asyncio.CancelledError:
        if not left:
            raise
        worker.uncancel()
        _LEFT.inc()
    finally:
        listener.cancel()
