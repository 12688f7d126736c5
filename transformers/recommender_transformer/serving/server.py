"""KServe's model server, made strict: every wrong call is a 4xx that says what is wrong.

KServe decodes a call before a model sees it, and answers 500 where its decoder trips over a malformed one; it also lets
anybody unload a model. What differs here is in this file.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from grpc_interceptor.exceptions import Unavailable
from kserve import InferRequest, ModelRepository, ModelServer  # type: ignore[import-untyped]
from kserve import logging as kserve_logging
from kserve import model_server as kserve_server
from kserve.errors import InvalidInput, ModelNotFound, ModelNotReady  # type: ignore[import-untyped]
from kserve.protocol.dataplane import DataPlane  # type: ignore[import-untyped]
from kserve.protocol.model_repository_extension import ModelRepositoryExtension  # type: ignore[import-untyped]

from recommender_transformer.serving.connections.admission import BUSY, AdmissionControl
from recommender_transformer.serving.connections.content_encoding import Decoding
from recommender_transformer.serving.connections.connection_limits import ConnectionLimits
from recommender_transformer.serving.drain import DRAIN_S, DrainingServer
from recommender_transformer.serving.events import TooManyEvents, too_many_events
from recommender_transformer.serving.protocols import cloudevents
from recommender_transformer.serving.protocols.json_body import loads
from recommender_transformer.serving.recommender import NAME
from winnow.ports import EVERYWHERE
from winnow.request import MAX_BODY_BYTES, InvalidRequest, quote


class StrictDataPlane(DataPlane):  # type: ignore[misc]
    """Whatever the decoder stumbles over is the caller's mistake; a server that is leaving is not ready.

    CloudEvents are read in ``cloudevents``.

    Attributes:
        leaving: set when the server has been told to stop: it serves on, but asks to be sent nothing more.
    """

    def __init__(self, in_flight: AdmissionControl, model_registry: ModelRepository) -> None:
        super().__init__(model_registry=model_registry)
        self._in_flight = in_flight
        self.leaving = False

    async def ready(self) -> bool:
        """Whether to send requests here."""
        return not self.leaving and bool(await super().ready())

    async def model_ready(self, model_name: str, disable_predictor_health_check: bool = False) -> bool:
        """The same of one model; requests ask too, with the flag set, and are served to the end."""
        ready = bool(await super().model_ready(model_name, disable_predictor_health_check))
        return ready and (disable_predictor_health_check or not self.leaving)

    async def infer(
        self, model_name: str, request: object, headers: dict[str, str] | None = None
    ) -> tuple[object, dict[str, str]]:
        """Answer a call; those over gRPC are counted and refused here, those over HTTP before they are decoded."""
        answer = super().infer(model_name, request, headers)
        if model_name != NAME or not isinstance(request, InferRequest) or not request.from_grpc:
            return await answer  # type: ignore[no-any-return]
        if not self._in_flight.acquire("grpc"):
            answer.close()
            raise Unavailable(BUSY)
        try:
            return await answer  # type: ignore[no-any-return]
        finally:
            self._in_flight.release()

    def decode(
        self, body: object, headers: dict[str, str], protocol_version: str = "v1", model_name: str | None = None
    ) -> tuple[object, dict[str, object]]:
        """Decode a call; the mode of its CloudEvents goes with it to :meth:`encode`."""
        mode = cloudevents.mode_of(headers)
        try:
            if protocol_version != "v1":
                if mode is not None:
                    raise InvalidRequest("body: CloudEvents are taken at /v1/models/events:predict, not as tensors")
                decoded, attributes = super().decode(body, headers, protocol_version, model_name)
                return decoded, attributes
            assert isinstance(body, bytes)
            if mode is not None:
                return cloudevents.decode(body, headers, mode), {"mode": mode}
            return loads(body, "body"), {}
        except InvalidRequest as error:
            raise InvalidInput(str(error)) from None
        except InvalidInput as error:
            raise InvalidInput(f"body: {error}") from None
        except Exception as error:
            raise InvalidInput(f"body: cannot be read: {type(error).__name__}: {error}") from None

    def encode(
        self, model_name: str, response: object, headers: dict[str, str], req_attributes: dict[str, Any]
    ) -> tuple[object, dict[str, str]]:
        """Encode an answer: to CloudEvents with one of them."""
        if "mode" in req_attributes:
            return cloudevents.encode(response, model_name, req_attributes["mode"])
        encoded: tuple[object, dict[str, str]] = super().encode(model_name, response, {}, {})
        return encoded


class FixedRepository(ModelRepositoryExtension):  # type: ignore[misc]
    """The models of this server are those of its release."""

    async def load(self, model_name: str) -> None:
        """Refused."""
        raise InvalidInput(f"model {model_name}: models cannot be loaded or unloaded from outside")

    async def unload(self, model_name: str) -> None:
        """Refused."""
        await self.load(model_name)


async def _unreadable(request: Request, error: Exception) -> JSONResponse:
    """A v2 body that is not an inference request; the framework would answer with its own error format."""
    assert isinstance(error, RequestValidationError)
    clauses = [
        f"{'.'.join(str(step) for step in detail['loc'] if step not in ('body', 'InferenceRequest')) or 'body'}: "
        f"{detail['msg']}"
        for detail in error.errors()
        if detail["loc"][-1] != "bytes"
    ]
    return JSONResponse({"error": "; ".join(clauses[:3]) or "body: is required"}, status_code=400)


async def _without_versions(model_name: str, model_version: str) -> JSONResponse:
    """A path that names a version."""
    error = f"model_version: leave it out of the path, got {quote(model_version)}: this server serves one release"
    return JSONResponse({"error": error}, status_code=404)


def _is_news(record: logging.LogRecord) -> bool:
    """False for what KServe logs of each refused request, with its whole stack, at the cost of everybody's time."""
    return not (record.exc_info and isinstance(record.exc_info[1], InvalidInput | ModelNotFound | ModelNotReady))


async def _nothing() -> None:
    """What a server has to finish that writes nothing."""


def model_server(
    http_port: int,
    grpc_port: int,
    in_flight: AdmissionControl | None = None,
    drain_s: float = DRAIN_S,
    finish: Callable[[], Awaitable[None]] = _nothing,
    bounds: ConnectionLimits = ConnectionLimits(),  # noqa: B008
    host: str = EVERYWHERE,
) -> ModelServer:
    """The server, ready to ``start`` models on; one worker, because KServe's child processes lose their settings.

    Args:
        http_port: for the v1 and v2 protocols.
        grpc_port: for the v2 protocol.
        in_flight: bounds the recommendations under way.
        drain_s: how long to serve on after SIGTERM, seconds.
        finish: called when the last answer has left.
        bounds: what connections may claim that keep the server waiting.
        host: the address that both listen on.
    """
    kserve_logging.logger.addFilter(_is_news)
    app = kserve_server.app
    app.add_middleware(Decoding, limit=MAX_BODY_BYTES)
    app.add_exception_handler(RequestValidationError, _unreadable)
    # Before KServe's own routes, which answer 501.
    for method, path in (("GET", ""), ("GET", "/ready"), ("POST", "/infer")):
        route = "/v2/models/{model_name}/versions/{model_version}" + path
        app.add_api_route(route, _without_versions, methods=[method], include_in_schema=False)
    app.add_exception_handler(TooManyEvents, too_many_events)
    in_flight = in_flight or AdmissionControl()
    server = DrainingServer(
        in_flight,
        drain_s,
        finish,
        bounds,
        host,
        http_port=http_port,
        grpc_port=grpc_port,
        workers=1,
        registered_models=ModelRepository(),
        # A line or more per request costs more than the request; the histograms say the same.
        enable_latency_logging=False,
    )
    server.dataplane = StrictDataPlane(in_flight, model_registry=server.registered_models)
    server.model_repository_extension = FixedRepository(model_registry=server.registered_models)
    return server
