"""Recommendations over HTTP without KServe's layers, which cost more than parsing and encoding.

:class:`DirectHttp` is an ASGI application in front of KServe's. It answers plain, valid recommendations: JSON over v1,
JSON and binary tensors over v2. Everything else goes to KServe's application: other routes, compressed bodies,
CloudEvents, and every call that violates the contract, so that its response is made in one place.
"""

from typing import NamedTuple

from fastapi import FastAPI
from kserve import InferRequest  # type: ignore[import-untyped]
from kserve.protocol.rest.v2_datamodels import InferenceRequest  # type: ignore[import-untyped]
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.types import Receive, Scope, Send

from recommender_transformer.serving.connections.request_body import ReplayedBody
from recommender_transformer.serving.protocols import answers as encoding
from recommender_transformer.serving.protocols.cloudevents import mode_of
from recommender_transformer.serving.protocols.json_body import loads
from recommender_transformer.serving.recommender import NAME, Call, RecommenderModel
from winnow.request import Answer

_V1, _V2 = f"/v1/models/{NAME}:predict", f"/v2/models/{NAME}/infer"


class Plain(NamedTuple):
    """A plain, valid call.

    Attributes:
        call: the parsed call.
        outputs: the output tensors that it asks for, each with whether in the binary format; empty for v1.
    """

    call: Call
    outputs: list[tuple[str, bool]]


class DirectHttp:
    """ASGI application inside ``BodyLimitMiddleware`` and ``AdmissionMiddleware``.

    Args:
        app: KServe's application.
        model: answers the recommendations.
    """

    def __init__(self, app: FastAPI, model: RecommenderModel) -> None:
        self._app = app
        self._model = model

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        path = scope["path"] if scope["type"] == "http" and scope["method"] == "POST" else ""
        if (path != _V1 and path != _V2) or not self._model.ready:
            await self._app(scope, receive, send)
            return
        body = (await receive())["body"]
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        plain = self._read(path, headers, body)
        if plain is None:
            await self._app(scope, ReplayedBody(body, receive), send)
            return
        try:
            text, response_headers = self._encode(plain, await self._model.recommend(plain.call))
        except Exception as error:
            await self._fail(error, scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": response_headers})
        await send({"type": "http.response.body", "body": text})

    def _read(self, path: str, headers: dict[str, str], body: bytes) -> Plain | None:
        """The call; `None` if it is not plain or not valid."""
        if "content-encoding" in headers or mode_of(headers) is not None:
            return None
        # Whatever the fault is, KServe's application finds it again and describes it.
        try:
            if path == _V1:
                return Plain(self._model.parse(loads(body, "body"), headers), [])
            tensors = _tensors(headers, body)
            outputs = _outputs(tensors)
            return Plain(self._model.parse(tensors, headers), outputs)
        except Exception:
            return None

    def _encode(self, plain: Plain, answers: list[Answer]) -> tuple[bytes, encoding.Headers]:
        if not plain.outputs:
            return encoding.to_v1(answers)
        names = [name for name, _ in plain.outputs]
        made = {one.name: one for one in encoding.tensors(answers, plain.call.width, names)}
        return encoding.to_v2(self._model.header(plain.call), [(made[name], binary) for name, binary in plain.outputs])

    async def _fail(self, error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
        """The response of KServe's application to an error in a route."""

        async def fail(scope: Scope, receive: Receive, send: Send) -> None:
            raise error

        handlers = dict(self._app.exception_handlers)
        any_error = handlers.pop(Exception)
        await ServerErrorMiddleware(ExceptionMiddleware(fail, handlers), any_error)(scope, receive, send)


def _tensors(headers: dict[str, str], body: bytes) -> InferRequest:
    """The tensors of a v2 call.

    Raises:
        ValueError: the call is not plain.
    """
    kind, length = headers["content-type"].partition(";")[0].strip().lower(), headers.get(encoding.JSON_LENGTH)
    if kind == "application/json" and length is None:
        return InferRequest.from_inference_request(InferenceRequest.model_validate_json(body), NAME)
    if kind == "application/octet-stream" and length is not None:
        return InferRequest.from_bytes(body, int(length), NAME)
    raise ValueError(kind)


def _outputs(tensors: InferRequest) -> list[tuple[str, bool]]:
    """The output tensors that a call asks for, each with whether in the binary format.

    Raises:
        ValueError: the call is not plain.
    """
    if tensors.request_outputs:
        chosen = [(one.name, one.binary_data or False) for one in tensors.request_outputs]
    else:
        chosen = [(name, tensors.use_binary_outputs) for name in encoding.NAMES]
    if len(dict(chosen)) < len(chosen) or any(not isinstance(binary, bool) for _, binary in chosen):
        raise ValueError(chosen)
    return chosen
