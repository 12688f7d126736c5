"""Graceful shutdown without losing a request.

On SIGTERM the server reports that it is not ready and keeps serving for a time, so that load balancers stop sending
requests. HTTP responses have ``Connection: close``, so that clients connect to another replica. Then the listeners
close, requests in flight are answered, side effects are flushed, and the process ends.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from time import monotonic
from types import FrameType
from typing import Any

from kserve import ModelServer  # type: ignore[import-untyped]
from kserve import model_server as kserve_server
from starlette.types import ASGIApp

from recommender_transformer.serving.access.control import AccessControl
from recommender_transformer.serving.access.middleware import AccessMiddleware
from recommender_transformer.serving.connections.admission import CLOSE, AdmissionControl, AdmissionMiddleware
from recommender_transformer.serving.connections.connection_limits import ConnectionLimits, WaitingConnections
from recommender_transformer.serving.connections.grpc_server import BoundedGRPCServer
from recommender_transformer.serving.connections.http_connection import HttpConnection
from recommender_transformer.serving.connections.request_body import BodyLimitMiddleware
from recommender_transformer.serving.direct_grpc import DirectServicer
from recommender_transformer.serving.direct_http import DirectHttp
from recommender_transformer.serving.public_ports import PublicPorts
from recommender_transformer.serving.recommender import NAME
from winnow.ports import LOOPBACK
from winnow.request import MAX_BODY_BYTES

log = logging.getLogger(__name__)

DRAIN_S = 5.0
"""Longer than a cluster takes to remove an endpoint everywhere."""

MAX_DRAIN_S = 600.0

_GRACE_S = 12.0
"""Time for requests in flight after the listeners have closed; no deadline is longer than 10 seconds."""

_FLUSH_S = 3.0
"""Time for the side effects. With the default drain, all three stay well below Kubernetes' 30 seconds."""

_CHECK_INTERVAL_S = 1.0
"""Interval at which connections are checked for time-outs."""


class DrainingServer(ModelServer):  # type: ignore[misc]
    """KServe's server with a graceful shutdown, admission control and connection limits.

    A second signal ends the drain at once.

    Args:
        admission: admits or rejects recommendations.
        drain_s: seconds to keep serving after the first signal.
        flush: called after the last response.
        limits: bounds on HTTP connections.
        host: address to listen on.
        reuse_port: whether other processes listen on the same ports. Then this one listens once its models are ready,
            so that no connection of theirs waits for it.
        standby_port: HTTP port on loopback that is served at once; the other ports are taken and left on signals
            (:mod:`recommender_transformer.serving.public_ports`). `None`: they are served at once.
        access: admits or refuses calls by their keys; `None` admits all.
        settings: KServe's own.
    """

    def __init__(
        self,
        admission: AdmissionControl,
        drain_s: float,
        flush: Callable[[], Awaitable[None]],
        limits: ConnectionLimits,
        host: str,
        reuse_port: bool,
        standby_port: int | None,
        access: AccessControl | None,
        **settings: Any,
    ) -> None:
        # Without KServe's own gRPC server: see ``grpc_server``.
        super().__init__(grace_period=_GRACE_S, enable_grpc=False, **settings)
        self._admission = admission
        self._drain_s = drain_s
        self._waiting = WaitingConnections(limits)
        self._flush = flush
        self._host = host
        self._reuse_port = reuse_port
        self._standby_port = standby_port
        self._access = access
        self.public: PublicPorts | None = None
        self._terminating, self._drain_skipped = asyncio.Event(), asyncio.Event()

    def register_signal_handler(self) -> None:
        """Nothing: uvicorn replaces KServe's handlers with its own."""

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        http = self._rest_server

        def handle(number: int, frame: FrameType | None) -> None:
            event = self._drain_skipped if self._terminating.is_set() else self._terminating
            loop.call_soon_threadsafe(event.set)

        # Uvicorn reads these when it starts: the outermost application, the class of connections, the signal handler.
        recommender = self.registered_models.get_model(NAME)
        app: ASGIApp = AdmissionMiddleware(DirectHttp(kserve_server.app, recommender), self._admission)
        if self._access is not None:
            self._access.protect(self.registered_models.get_models())
            app = AccessMiddleware(app, self._access)
        http.config.app = BodyLimitMiddleware(app, MAX_BODY_BYTES)
        http.config.http = partial(HttpConnection, self._waiting, self._admission)
        # No route uses WebSocket, and a WebSocket connection would have no time limits.
        http.config.ws = "none"
        http.config.host = self._host
        # Nothing reads the client's address or scheme from a proxy's headers.
        http.config.proxy_headers = False
        http._server.handle_exit = handle
        services = (self.dataplane, self.model_repository_extension)
        servicer = DirectServicer(recommender, self._admission, self._access, *services)
        new_grpc = partial(BoundedGRPCServer, servicer, self.grpc_port, *services, {}, self.grace_period)
        if self._standby_port is not None:
            http._server.serve = partial(http._server.serve, [socket.create_server((LOOPBACK, self._standby_port))])
            self.public = PublicPorts(http._server, new_grpc, self._host, self.http_port, self.grpc_port)
            self.public.follow_signals()
        else:
            self._grpc_server = new_grpc()
            grpc = self._grpc_server.start(self._host, self._reuse_port)
            if self._reuse_port:
                http._server.serve = partial(self._share_port, http._server.serve)
                grpc = self._once_ready(grpc)
            self.servers.append(grpc)
        tasks = [asyncio.create_task(work) for work in (self._drain(http._server), self._watch(http._server))]
        try:
            await super()._serve()
            async with asyncio.timeout(_FLUSH_S):
                await self._flush()
        except TimeoutError:
            log.warning("side effects were not flushed within %g s", _FLUSH_S)
        finally:
            for task in tasks:
                task.cancel()

    async def _share_port(self, serve: Callable[..., Awaitable[None]]) -> None:
        async def listen() -> None:
            family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
            address = (self._host, self.http_port)
            await serve(sockets=[socket.create_server(address, family=family, reuse_port=True)])

        await self._once_ready(listen())

    async def _once_ready(self, serving: Awaitable[None]) -> None:
        for model in self.registered_models.get_models().values():
            await model.connected.wait()
        await serving

    async def _watch(self, http: Any) -> None:
        while True:
            await asyncio.sleep(_CHECK_INTERVAL_S)
            now = monotonic()
            self._waiting.close_overdue(now)
            for connection in list(http.server_state.connections):
                connection.check_unread(now)

    async def _drain(self, http: Any) -> None:
        await self._terminating.wait()
        log.warning("shutting down: not ready, serving requests for another %g s", self._drain_s)
        self.dataplane.draining = True
        # Uvicorn rebuilds its default headers from the configuration each second: set both.
        http.config.encoded_headers = [*http.config.encoded_headers, CLOSE]
        http.server_state.default_headers = [*http.server_state.default_headers, CLOSE]
        with suppress(TimeoutError):
            async with asyncio.timeout(self._drain_s):
                await self._drain_skipped.wait()
        http.should_exit = True
        await (self._grpc_server if self.public is None else self.public).stop()
