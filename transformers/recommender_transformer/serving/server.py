"""KServe's model server with strict errors: every malformed call is answered with a 4xx that names the fault.

KServe decodes a call before it reaches a model, answers 500 to calls that its decoder cannot read, and lets any client
unload models. This module changes both.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from kserve import ModelRepository, ModelServer  # type: ignore[import-untyped]
from kserve import logging as kserve_logging
from kserve import model_server as kserve_server
from kserve.errors import InvalidInput, ModelNotFound, ModelNotReady  # type: ignore[import-untyped]
from kserve.protocol.dataplane import DataPlane  # type: ignore[import-untyped]
from kserve.protocol.model_repository_extension import ModelRepositoryExtension  # type: ignore[import-untyped]

from recommender_transformer.serving.access.control import AccessControl
from recommender_transformer.serving.access.refusals import AccessRefused, refused
from recommender_transformer.serving.connections.admission import AdmissionControl
from recommender_transformer.serving.connections.connection_limits import ConnectionLimits
from recommender_transformer.serving.connections.content_encoding import ContentEncodingMiddleware
from recommender_transformer.serving.drain import DRAIN_S, DrainingServer
from recommender_transformer.serving.events import TooManyEvents, too_many_events
from recommender_transformer.serving.protocols import cloudevents
from recommender_transformer.serving.protocols.json_body import loads
from winnow.ports import EVERYWHERE
from winnow.request import MAX_BODY_BYTES, InvalidRequest, quote


class StrictDataPlane(DataPlane):  # type: ignore[misc]
    """Decodes calls, with 4xx errors, and reports readiness.

    CloudEvents are decoded by ``protocols.cloudevents``.

    Args:
        model_registry: the models.

    Attributes:
        draining: set at shutdown: the server still answers requests, but is not ready.
    """

    def __init__(self, model_registry: ModelRepository) -> None:
        super().__init__(model_registry=model_registry)
        self.draining = False

    async def ready(self) -> bool:
        """Whether the server is ready for requests."""
        return not self.draining and bool(await super().ready())

    async def model_ready(self, model_name: str, disable_predictor_health_check: bool = False) -> bool:
        """Whether a model is ready. KServe also asks before each request, with the flag set; those are still served."""
        ready = bool(await super().model_ready(model_name, disable_predictor_health_check))
        return ready and (disable_predictor_health_check or not self.draining)

    def decode(
        self, body: object, headers: dict[str, str], protocol_version: str = "v1", model_name: str | None = None
    ) -> tuple[object, dict[str, object]]:
        """Decode a call; the mode of its CloudEvents is passed to :meth:`encode`."""
        mode = cloudevents.mode_of(headers)
        try:
            if protocol_version != "v1":
                if mode is not None:
                    raise InvalidRequest("body: CloudEvents must be sent to /v1/models/events:predict, not as tensors")
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
        """Encode a response: to CloudEvents as a CloudEvent."""
        if "mode" in req_attributes:
            return cloudevents.encode(response, model_name, req_attributes["mode"])
        encoded: tuple[object, dict[str, str]] = super().encode(model_name, response, {}, {})
        return encoded


class FixedRepository(ModelRepositoryExtension):  # type: ignore[misc]
    """Refuses to load or unload models: the server has the models of its release."""

    async def load(self, model_name: str) -> None:
        """Refused."""
        raise InvalidInput(f"model {model_name}: models cannot be loaded or unloaded by clients")

    async def unload(self, model_name: str) -> None:
        """Refused."""
        await self.load(model_name)


async def _malformed_request(request: Request, error: Exception) -> JSONResponse:
    """The response to a v2 body that is not an inference request, in KServe's error format instead of FastAPI's."""
    assert isinstance(error, RequestValidationError)
    faults = [
        f"{'.'.join(str(step) for step in detail['loc'] if step not in ('body', 'InferenceRequest')) or 'body'}: "
        f"{detail['msg']}"
        for detail in error.errors()
        if detail["loc"][-1] != "bytes"
    ]
    return JSONResponse({"error": "; ".join(faults[:3]) or "body: is required"}, status_code=400)


async def _no_versions(model_name: str, model_version: str) -> JSONResponse:
    """The response to a path with a version."""
    error = f"model_version: must not be in the path, got {quote(model_version)}: this server serves one release"
    return JSONResponse({"error": error}, status_code=404)


async def _no_metrics() -> JSONResponse:
    """The response to ``/metrics`` where several processes share the port: whose metrics they are would be chance."""
    error = "metrics: several processes share this port, and each exports its metrics on its own --metrics-port"
    return JSONResponse({"error": error}, status_code=404)


def _is_server_error(record: logging.LogRecord) -> bool:
    """False for client errors: KServe would log each with a traceback, which slows down all other requests."""
    return not (record.exc_info and isinstance(record.exc_info[1], InvalidInput | ModelNotFound | ModelNotReady))


async def _no_flush() -> None:
    """For a server without side effects."""


def model_server(
    http_port: int,
    grpc_port: int,
    admission: AdmissionControl | None = None,
    drain_s: float = DRAIN_S,
    flush: Callable[[], Awaitable[None]] = _no_flush,
    limits: ConnectionLimits = ConnectionLimits(),  # noqa: B008
    host: str = EVERYWHERE,
    reuse_port: bool = False,
    standby_port: int | None = None,
    access: AccessControl | None = None,
) -> ModelServer:
    """Create the server; its ``start`` takes the models. One worker: KServe's child processes would lose the settings.

    ``recommender_transformer.processes`` starts several servers.

    Args:
        http_port: port of the v1 and v2 protocols over HTTP.
        grpc_port: port of the v2 protocol over gRPC.
        admission: admits or rejects recommendations.
        drain_s: seconds to keep serving after SIGTERM.
        flush: called after the last response.
        limits: bounds on HTTP connections.
        host: address that both ports listen on.
        reuse_port: whether other processes listen on the same ports.
        standby_port: HTTP port on loopback that is served at once, while the other ports are taken and left on signals;
            ``/listening`` answers 200 while this process has them.
        access: admits or refuses calls by their keys; `None` admits all.
    """
    kserve_logging.logger.addFilter(_is_server_error)
    app = kserve_server.app
    app.add_middleware(ContentEncodingMiddleware, limit=MAX_BODY_BYTES)
    app.add_exception_handler(RequestValidationError, _malformed_request)
    # These precede KServe's own routes, which answer 501.
    for method, path in (("GET", ""), ("GET", "/ready"), ("POST", "/infer")):
        route = "/v2/models/{model_name}/versions/{model_version}" + path
        app.add_api_route(route, _no_versions, methods=[method], include_in_schema=False)
    if reuse_port:
        app.add_api_route("/metrics", _no_metrics, methods=["GET"], include_in_schema=False)
    app.add_exception_handler(TooManyEvents, too_many_events)
    app.add_exception_handler(AccessRefused, refused)
    server = DrainingServer(
        admission or AdmissionControl(),
        drain_s,
        flush,
        limits,
        host,
        reuse_port,
        standby_port,
        access,
        http_port=http_port,
        grpc_port=grpc_port,
        workers=1,
        registered_models=ModelRepository(),
        # A log line per request costs more than the request; the histograms have the same data.
        enable_latency_logging=False,
    )
    if standby_port is not None:

        async def listening() -> JSONResponse:
            has_ports = server.public is not None and server.public.listening
            return JSONResponse({"listening": has_ports}, status_code=200 if has_ports else 503)

        app.add_api_route("/listening", listening, methods=["GET"], include_in_schema=False)
    server.dataplane = StrictDataPlane(model_registry=server.registered_models)
    server.model_repository_extension = FixedRepository(model_registry=server.registered_models)
    return server
