"""The ports that clients know, which the transformers of a stack take from each other without losing a request.

A transformer with ``--standby-port`` serves HTTP on that port, on loopback. SIGUSR1 makes it listen on the public
ports as well, beside the transformer that does so already (``SO_REUSEPORT``), and from then on the kernel gives every
new connection to it. SIGUSR2 makes a transformer leave: it accepts what is still in its queues, its clients connect
again, and it stops listening when they have.

The kernel would divide new connections between all listeners of a port, and reset those in the queue of one that
closes. So each listener attaches a program that chooses the second of the group, which is the one that joined last,
because there are never more than two (socket(7), ``SO_ATTACH_REUSEPORT_CBPF``; packet(7) has the instructions).

HTTP connections end after their next response, which says ``Connection: close``, or when they are idle. gRPC has no
call that makes its clients reconnect: a server that stops cancels calls that are just arriving. Its connections
therefore have a short maximum age here, at which it sends GOAWAY and goes on serving what arrives.
"""

import asyncio
import ctypes
import os
import signal
import socket
import stat
import struct
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any

from recommender_transformer.serving.connections.admission import CLOSE
from recommender_transformer.serving.connections.grpc_server import BoundedGRPCServer

SETTLE_S = 0.3
"""Time in which a leaving transformer accepts connections whose handshake had begun."""

MAX_AGE_MS = 1000
"""Age of a gRPC connection at which its client is asked to connect again, which takes a millisecond."""

IDLE_S = 1.0
"""Time after which a leaving transformer closes idle connections: a busy client has sent a request by then, and was
told to connect again."""

_LEAVE_S = 2.0
"""Bound on the time until connections have ended; what then still runs is answered in the background."""

_POLL_S = 0.02

_ATTACH_REUSEPORT_CBPF = 51
_RETURN = 0x06
_BACKLOG_OFFSET = 24
"""Of ``tcpi_unacked`` in ``struct tcp_info``: of a listener, the connections in its queue."""


class PublicPorts:
    """The public ports of one transformer.

    Args:
        http: the uvicorn server, which is serving on the standby port.
        grpc: makes a gRPC server.
        host: the address to listen on.
        http_port: the public port of HTTP.
        grpc_port: the public port of gRPC.
    """

    def __init__(
        self, http: Any, grpc: Callable[[], BoundedGRPCServer], host: str, http_port: int, grpc_port: int
    ) -> None:
        self._http, self._new_grpc = http, grpc
        self._host, self._http_port, self._grpc_port = host, http_port, grpc_port
        self._listener: Any = None
        self._sockets: list[socket.socket] = []
        self._grpc: BoundedGRPCServer | None = None
        self._moving = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopping: set[asyncio.Task[Any]] = set()

    @property
    def listening(self) -> bool:
        """Whether new connections come to this transformer, or to one that took the ports from it."""
        return self._listener is not None

    def follow_signals(self) -> None:
        """Take the ports on SIGUSR1, and leave them on SIGUSR2."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, lambda: self._run(self.take()))
        loop.add_signal_handler(signal.SIGUSR2, lambda: self._run(self.leave()))

    async def take(self) -> None:
        """Listen on the public ports; new connections come here alone."""
        async with self._moving:
            if self.listening:
                return
            self._say_close(False)
            self._grpc = self._new_grpc()
            serving = self._run(self._grpc.start(self._host, reuse_port=True, max_age_ms=MAX_AGE_MS))
            while not (grpc := _sockets_of(self._grpc_port, listening=True)):
                if serving.done():
                    await serving
                await asyncio.wait([serving], timeout=_POLL_S)
            family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
            http = socket.create_server((self._host, self._http_port), family=family, reuse_port=True)
            self._sockets = [http, grpc[0]]
            for listener in self._sockets:
                _newest_accepts(listener)
            config = self._http.config
            protocol = partial(
                config.http_protocol_class,
                config=config,
                server_state=self._http.server_state,
                app_state=self._http.lifespan.state,
            )
            loop = asyncio.get_running_loop()
            self._listener = await loop.create_server(protocol, sock=http, backlog=config.backlog)

    async def leave(self) -> None:
        """Stop listening; another transformer has taken the ports, and the clients have connected to it."""
        async with self._moving:
            if not self.listening:
                return
            began = monotonic()
            self._say_close(True)
            await asyncio.sleep(SETTLE_S)
            while monotonic() < began + _LEAVE_S:
                if monotonic() > began + IDLE_S:
                    for connection in list(self._http.server_state.connections):
                        connection.close_if_idle()
                    if not (any(map(_queued, self._sockets)) or _connected(self._grpc_port)):
                        break
                await asyncio.sleep(_POLL_S)
            self._close()

    async def stop(self) -> None:
        """Stop listening at the end of the process, and wait until no call is being answered over gRPC."""
        async with self._moving:
            if self.listening:
                self._close()
        await asyncio.gather(*self._stopping)

    def _close(self) -> None:
        assert self._grpc is not None
        self._listener.close()
        _, grpc = self._sockets
        # Calls that still run are answered. The copy of gRPC's descriptor would keep its listener open.
        stopping = self._run(self._grpc.stop())
        self._stopping.add(stopping)
        stopping.add_done_callback(self._stopping.discard)
        grpc.close()
        self._listener, self._grpc, self._sockets = None, None, []

    def _say_close(self, closes: bool) -> None:
        """Whether responses tell the client to connect again."""
        # Uvicorn rebuilds its default headers from the configuration each second: set both.
        config, state = self._http.config, self._http.server_state
        config.encoded_headers = [header for header in config.encoded_headers if header != CLOSE]
        state.default_headers = [header for header in state.default_headers if header != CLOSE]
        if closes:
            config.encoded_headers = [*config.encoded_headers, CLOSE]
            state.default_headers = [*state.default_headers, CLOSE]

    def _run(self, work: Any) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _newest_accepts(listener: socket.socket) -> None:
    """Give the connections of a port to the second listener of its group; to the only one where there is one."""
    # One instruction: return 1, the position in the group. With an invalid position the kernel chooses by a hash.
    program = ctypes.create_string_buffer(struct.pack("HBBI", _RETURN, 0, 0, 1))
    described = struct.pack("HxxxxxxP", 1, ctypes.addressof(program))
    listener.setsockopt(socket.SOL_SOCKET, _ATTACH_REUSEPORT_CBPF, described)


def _queued(listener: socket.socket) -> int:
    """Connections that wait to be accepted."""
    info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BACKLOG_OFFSET + 4)
    return int(struct.unpack_from("I", info, _BACKLOG_OFFSET)[0])


def _connected(port: int) -> bool:
    """Whether a client is connected to a port of this process."""
    connected = _sockets_of(port, listening=False)
    for each in connected:
        each.close()
    return bool(connected)


def _sockets_of(port: int, listening: bool) -> list[socket.socket]:
    """This process's listeners on a port, or its connections, which gRPC does not show: copies of the descriptors."""
    sockets = []
    for name in map(int, os.listdir("/proc/self/fd")):
        # The folder's own descriptor is closed by now, as others may be.
        with suppress(OSError):
            if not stat.S_ISSOCK(os.fstat(name).st_mode):
                continue
            found = socket.socket(fileno=os.dup(name))
            is_tcp = found.family in (socket.AF_INET, socket.AF_INET6)
            if (
                is_tcp
                and found.getsockname()[1] == port
                and bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)) == listening
            ):
                sockets.append(found)
            else:
                found.close()
    return sockets
