"""Recommendations over gRPC without KServe's layers: decoded, admitted, answered and encoded in one call."""

from typing import Any

from grpc import aio
from grpc_interceptor.exceptions import Unavailable
from kserve import InferRequest  # type: ignore[import-untyped]
from kserve.errors import InvalidInput  # type: ignore[import-untyped]
from kserve.protocol.grpc.servicer import InferenceServicer  # type: ignore[import-untyped]

from recommender_transformer.serving.access.control import AccessControl
from recommender_transformer.serving.access.refusals import AccessRefused
from recommender_transformer.serving.connections.admission import BUSY, FAILED, AdmissionControl
from recommender_transformer.serving.protocols import answers as encoding
from recommender_transformer.serving.recommender import NAME, RecommenderModel
from winnow.request import InvalidRequest

_FAILED_GRPC = FAILED.labels("grpc")


class DirectServicer(InferenceServicer):  # type: ignore[misc]
    """KServe's servicer, which leaves recommendations to the model itself.

    Args:
        model: answers the recommendations.
        admission: admits or rejects them.
        access: admits or refuses calls by their keys; `None` admits all.
        services: KServe's data plane and model repository.
    """

    def __init__(
        self, model: RecommenderModel, admission: AdmissionControl, access: AccessControl | None, *services: Any
    ) -> None:
        super().__init__(*services)
        self._model = model
        self._admission = admission
        self._access = access

    async def ModelInfer(self, request: Any, context: "aio.ServicerContext[Any, Any]") -> Any:  # noqa: N802
        """Answer a call."""
        if self._access is not None:
            try:
                self._access.admit(request.model_name, context.invocation_metadata() or ())
            except AccessRefused as refusal:
                context.set_trailing_metadata(refusal.headers)
                raise
        if request.model_name != NAME:
            return await super().ModelInfer(request, context)
        if not self._admission.acquire("grpc"):
            raise Unavailable(BUSY)
        try:
            return await self._recommend(request, context)
        except InvalidInput:
            raise
        except Exception:
            _FAILED_GRPC.inc()
            raise
        finally:
            self._admission.release()

    async def _recommend(self, request: Any, context: "aio.ServicerContext[Any, Any]") -> Any:
        self.validate_grpc_request(request)
        tensors = InferRequest.from_grpc(request)
        headers = dict(context.invocation_metadata() or ())
        try:
            call = self._model.parse(tensors, headers)
        except InvalidRequest as error:
            raise InvalidInput(str(error)) from None
        answers = await self._model.recommend(call)
        names = [one.name for one in tensors.request_outputs or ()] or encoding.NAMES
        outputs = encoding.tensors(answers, call.width, names)
        return encoding.to_grpc(self._model.header(call), outputs, raw=tensors.use_binary_outputs)
