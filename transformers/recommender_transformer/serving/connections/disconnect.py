"""In-flight work is cancelled when the client disconnects, down to the calls to Redis and Triton.

The gRPC server does this itself: it cancels the task of the call. The HTTP server only sends ``http.disconnect``.
"""

import asyncio
from collections.abc import Awaitable

from prometheus_client import Counter
from starlette.types import Receive

_DISCONNECTED = Counter("winnow_clients_left_total", "Recommendations cancelled because the client disconnected.")


async def cancel_on_disconnect(work: Awaitable[None], receive: Receive) -> None:
    """Await ``work``; cancel it if the client disconnects first.

    Args:
        work: handles a request whose body has been read.
        receive: the connection's messages; ``work`` must not read them.
    """
    worker = asyncio.current_task()
    assert worker is not None
    disconnected = False

    async def listen() -> None:
        nonlocal disconnected
        while (await receive())["type"] != "http.disconnect":
            pass
        disconnected = True
        worker.cancel()

    listener = asyncio.create_task(listen())
    try:
        await work
    except asyncio.CancelledError:
        if not disconnected:
            raise
        worker.uncancel()
        _DISCONNECTED.inc()
    finally:
        listener.cancel()
