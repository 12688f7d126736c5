"""A TCP proxy that delays every answer by a set time and keeps its bytes and order."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial


class SlowProxy:
    """Forwards a port of its own to another local port.

    Attributes:
        port: that it listens on.
        delay_s: delay of each part of an answer; it may be changed while the proxy runs.
    """

    def __init__(self, target: int) -> None:
        self.port = 0
        self.delay_s = 0.0
        self._target = target

    async def serve(self, ready: threading.Event) -> None:
        """Forward until cancelled."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Near(self, loop), "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        async with server:
            await server.serve_forever()

    @property
    def target(self) -> int:
        """The port that it forwards to."""
        return self._target


class _Near(asyncio.Protocol):
    """The client's connection."""

    def __init__(self, proxy: SlowProxy, loop: asyncio.AbstractEventLoop) -> None:
        self.proxy, self.loop = proxy, loop
        self.far: asyncio.Transport | None = None
        self._early = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._connecting = self.loop.create_task(self._connect())

    async def _connect(self) -> None:
        try:
            self.far, _ = await self.loop.create_connection(lambda: _Far(self), "127.0.0.1", self.proxy.target)
        except OSError:
            self.transport.close()
            return
        self.far.write(bytes(self._early))

    def data_received(self, data: bytes) -> None:
        if self.far is None:
            self._early += data
        else:
            self.far.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        if self.far is not None:
            self.far.close()


class _Far(asyncio.Protocol):
    """The server's connection."""

    def __init__(self, near: _Near) -> None:
        self._near = near

    def data_received(self, data: bytes) -> None:
        # Timers with equal delays fire in the order of their creation, so the parts stay in order.
        self._near.loop.call_later(self._near.proxy.delay_s, self._near.transport.write, data)

    def connection_lost(self, error: Exception | None) -> None:
        self._near.loop.call_later(self._near.proxy.delay_s, self._near.transport.close)


@contextmanager
def slow_proxy(target: int) -> Iterator[SlowProxy]:
    """Run a proxy to ``target`` in a thread of its own inside the block."""
    proxy, ready = SlowProxy(target), threading.Event()
    loop = asyncio.new_event_loop()
    serving = loop.create_task(proxy.serve(ready))
    serving.add_done_callback(lambda _: loop.stop())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(partial(serving.cancel))
        thread.join(10)
        loop.close()
