"""Leaving without losing a request: readiness goes first, then the listeners, then, with its work done, the process.

On SIGTERM the server says that it is not ready, and serves on for a time, so that whoever sends requests learns of it.
HTTP clients are told ``Connection: close`` and so open their next connection elsewhere. Then nothing new is taken, what
is under way is answered, what was to be written is written, and the process ends.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from time import monotonic
from types import FrameType
from typing import Any

from kserve import ModelServer  # type: ignore[import-untyped]
from kserve import model_server as kserve_server

from recommender_transformer.serving.connections.admission import CLOSE, Admission, AdmissionControl
from recommender_transformer.serving.connections.request_body import BodyLimit
from recommender_transformer.serving.connections.grpc_server import BoundedGRPCServer
from recommender_transformer.serving.connections.http_connection import Receiving
from recommender_transformer.serving.connections.connection_limits import ConnectionLimits, Waiting
from winnow.request import MAX_BODY_BYTES

log = logging.getLogger(__name__)

DRAIN_S = 5.0
"""Longer than an endpoint takes to be struck off everywhere in a cluster."""

MAX_DRAIN_S = 600.0

_GRACE_S = 12.0
"""For what is under way when the listeners have closed; no deadline is longer than 10 seconds."""

_FINISH_S = 3.0
"""For what is to be written after the last answer. With the default drain all three stay well below 30 seconds."""


_WATCH_S = 1.0
"""How often it is looked whose time has run out."""


class DrainingServer(ModelServer):  # type: ignore[misc]
    """KServe's server, which leaves as said above. A second signal ends the drain at once.

    Args:
        in_flight: bounds the recommendations under way.
        drain_s: how long to serve on after the first signal, seconds.
        finish: called when the last answer has left.
        bounds: what connections may claim that keep the server waiting.
        host: the address to listen on.
        settings: KServe's own.
    """

    def __init__(
        self,
        in_flight: AdmissionControl,
        drain_s: float,
        finish: Callable[[], Awaitable[None]],
        bounds: ConnectionLimits,
        host: str,
        **settings: Any,
    ) -> None:
        # KServe's own gRPC server is not started: see ``grpc_server``.
        super().__init__(grace_period=_GRACE_S, enable_grpc=False, **settings)
        self._in_flight = in_flight
        self._drain_s = drain_s
        self._waiting = Waiting(bounds)
        self._finish = finish
        self._host = host
        self._told, self._hurried = asyncio.Event(), asyncio.Event()

    def register_signal_handler(self) -> None:
        """Uvicorn sets the handlers; KServe's would be lost under them."""

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        http = self._rest_server

        def handle(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe((self._hurried if self._told.is_set() else self._told).set)

        # Uvicorn takes what lies here: the outermost application, what makes its connections, what a signal calls.
        http.config.app = BodyLimit(Admission(kserve_server.app, self._in_flight), MAX_BODY_BYTES)
        http.config.http = partial(Receiving, self._waiting, self._in_flight)
        # Nothing here speaks WebSocket, and a connection that did would be watched by nobody.
        http.config.ws = "none"
        http.config.host = self._host
        http._server.handle_exit = handle
        self._grpc_server = BoundedGRPCServer(
            self.grpc_port, self.dataplane, self.model_repository_extension, {}, self.grace_period
        )
        self.servers.append(self._grpc_server.start(self._host))
        beside = [asyncio.create_task(work) for work in (self._leave(http._server), self._watch(http._server))]
        try:
            await super()._serve()
            async with asyncio.timeout(_FINISH_S):
                await self._finish()
        except TimeoutError:
            log.warning("what was to be written was not within %g s", _FINISH_S)
        finally:
            for task in beside:
                task.cancel()

    async def _watch(self, http: Any) -> None:
        while True:
            await asyncio.sleep(_WATCH_S)
            now = monotonic()
            self._waiting.sweep(now)
            for connection in list(http.server_state.connections):
                connection.watch_reading(now)

    async def _leave(self, http: Any) -> None:
        await self._told.wait()
        log.warning("leaving: not ready any more, taking requests for another %g s", self._drain_s)
        self.dataplane.leaving = True
        # Of every answer from now on; the server makes the list anew each second, from its configuration's.
        http.config.encoded_headers = [*http.config.encoded_headers, CLOSE]
        http.server_state.default_headers = [*http.server_state.default_headers, CLOSE]
        with suppress(TimeoutError):
            async with asyncio.timeout(self._drain_s):
                await self._hurried.wait()
        http.should_exit = True
        await self._grpc_server.stop()
