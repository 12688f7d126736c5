"""The models as Triton serves them: gRPC, raw tensors, exactly the pinned version.

KServe and Triton's client package each carry a build of the same protocol messages, and one process cannot hold both:
here it is KServe's, which the server needs anyway, unless a script has Triton's loaded already. Calling the method
directly also spares the wrappers' checks.
"""

import asyncio
import sys
from importlib import import_module
from typing import Any

import grpc
import grpc.aio
import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.models import Ranked, Retrieved, SimilarItems, Tensors
from winnow.encoders.inputs import ENCODERS, Modality
from winnow.errors import ReleaseMismatch, WinnowError
from winnow.proxies import channel_options

pb: Any = sys.modules.get("tritonclient.grpc.service_pb2") or import_module("kserve.protocol.grpc.grpc_predict_v2_pb2")

_SERVICE = "/inference.GRPCInferenceService"
_DATATYPES: dict[np.dtype[Any], str] = {
    np.dtype(np.int32): "INT32",
    np.dtype(np.int64): "INT64",
    np.dtype(np.float32): "FP32",
    np.dtype(np.uint8): "UINT8",
}
_DTYPES = {name: dtype for dtype, name in _DATATYPES.items()}
_CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", 64 << 20),
    # Triton that came back is found within a second, not after gRPC's default of up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A name may stand for several replicas (a headless service): take turns, where gRPC would stay with the first.
    ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}'),
]

_CANCELLABLE = (2, 56)
"""The first version of Triton that bears it when a call is cancelled (container release 25.03). Told of a cancellation
at the wrong moment, earlier ones crash (triton-inference-server/server#7368, #8034)."""

_ABANDONED_S = 30.0
"""After this a call that nobody waits for any more is given up, so that a Triton that hangs does not collect them."""

_ASKED_S = 5.0
"""For the question which version it is."""


def address_of(host: str) -> str:
    """``host:port`` of a predictor host; without a port gRPC would dial 443, while KServe's services listen on 80."""
    return host if ":" in host else f"{host}:80"


class TritonModels:
    """Client of one version of every model. Make it inside the running event loop.

    Args:
        host: ``host:port`` of Triton's gRPC endpoint.
        version: the release.
    """

    def __init__(self, host: str, version: int) -> None:
        self._version = str(version)
        options = [*_CHANNEL_OPTIONS, *channel_options(host)]
        self._channel = grpc.aio.insecure_channel(address_of(host), options=options)
        self._infer = self._channel.unary_unary(
            f"{_SERVICE}/ModelInfer",
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=pb.ModelInferResponse.FromString,
        )
        self._cancels = False
        self._asking: asyncio.Task[None] | None = None

    async def retrieve(self, inputs: Tensors) -> Retrieved:
        """Ask the retriever.

        Raises:
            grpc.aio.AioRpcError: Triton does not answer, or does not have this version.
        """
        answered = await self._call("retriever", inputs, ("candidates", "candidate_scores", "user_vector"))
        return Retrieved(answered["candidates"], answered["candidate_scores"], answered["user_vector"])

    async def rank(self, inputs: Tensors) -> Ranked:
        """Ask the ranker.

        Raises:
            grpc.aio.AioRpcError: Triton does not answer, or does not have this version.
        """
        answered = await self._call("ranker", inputs, ("probabilities", "scores"))
        return Ranked(answered["probabilities"], answered["scores"])

    async def encode(self, modality: Modality, content: NDArray[Any]) -> NDArray[np.float32]:
        """Ask an encoder.

        Raises:
            grpc.aio.AioRpcError: Triton does not answer, or does not have this version.
        """
        signature = ENCODERS[modality]
        answered = await self._call(signature.name, {signature.inputs[0].name: content}, ("embedding",))
        return answered["embedding"]

    async def tower(self, inputs: Tensors) -> SimilarItems:
        """Ask the item tower.

        Raises:
            grpc.aio.AioRpcError: Triton does not answer, or does not have this version.
        """
        answered = await self._call("item_tower", inputs, ("item_vector", "candidates", "candidate_scores"))
        return SimilarItems(answered["item_vector"], answered["candidates"], answered["candidate_scores"])

    async def close(self) -> None:
        """Close the channel."""
        if self._asking is not None:
            self._asking.cancel()
        await self._channel.close()

    async def _call(self, model: str, inputs: Tensors, outputs: tuple[str, ...]) -> dict[str, NDArray[Any]]:
        request = pb.ModelInferRequest(model_name=model, model_version=self._version)
        for name, array in inputs.items():
            request.inputs.add(name=name, datatype=_DATATYPES[array.dtype], shape=array.shape)
            request.raw_input_contents.append(array.tobytes())
        for name in outputs:
            request.outputs.add(name=name)
        call = self._infer(request, timeout=_ABANDONED_S)
        # A Triton that does not bear a cancellation, or has not said so yet, is left to end a late call by itself.
        response = await (call if self._cancels else asyncio.shield(call))
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask_version())
        return {
            output.name: np.frombuffer(raw, dtype=_DTYPES[output.datatype]).reshape(tuple(output.shape))
            for output, raw in zip(response.outputs, response.raw_output_contents, strict=True)
        }

    async def _ask_version(self) -> None:
        """Whether calls may be cancelled, asked of the server itself once it has answered at all."""
        metadata = self._channel.unary_unary(
            f"{_SERVICE}/ServerMetadata",
            request_serializer=pb.ServerMetadataRequest.SerializeToString,
            response_deserializer=pb.ServerMetadataResponse.FromString,
        )
        try:
            version = (await metadata(pb.ServerMetadataRequest(), timeout=_ASKED_S)).version
        except grpc.aio.AioRpcError as error:
            # A server that does not know the question never will. Asked after every call, it would have every second
            # turn, and of two replicas one would get all the calls and the other all the questions.
            if error.code() != grpc.StatusCode.UNIMPLEMENTED:
                self._asking = None
            return
        parts = version.split(".")[:2]
        self._cancels = all(part.isdecimal() for part in parts) and tuple(map(int, parts)) >= _CANCELLABLE


def check_versions(host: str, version: int, models: tuple[str, ...], timeout_s: float = 5.0) -> None:
    """Make sure that Triton serves version ``version`` of every model.

    Raises:
        ReleaseMismatch: it answers, but lacks one; the message names what it has.
        WinnowError: it does not answer.
    """
    with grpc.insecure_channel(address_of(host), options=channel_options(host)) as channel:
        ready = channel.unary_unary(
            f"{_SERVICE}/ModelReady",
            request_serializer=pb.ModelReadyRequest.SerializeToString,
            response_deserializer=pb.ModelReadyResponse.FromString,
        )
        metadata = channel.unary_unary(
            f"{_SERVICE}/ModelMetadata",
            request_serializer=pb.ModelMetadataRequest.SerializeToString,
            response_deserializer=pb.ModelMetadataResponse.FromString,
        )
        try:
            for model in models:
                asked = pb.ModelReadyRequest(name=model, version=str(version))
                if not ready(asked, timeout=timeout_s, wait_for_ready=True).ready:
                    held = _versions(metadata, model, timeout_s)
                    raise ReleaseMismatch(
                        f"this transformer is pinned to release {version}, but Triton at {host} serves "
                        f"{model} {held}: load release {version} there, or pin the transformer to what is served"
                    )
        except grpc.RpcError as error:
            raise WinnowError(f"Triton does not answer at {host}: {error.code().name}") from error


def _versions(metadata: "grpc.UnaryUnaryMultiCallable[Any, Any]", model: str, timeout_s: float) -> str:
    try:
        versions = metadata(pb.ModelMetadataRequest(name=model), timeout=timeout_s).versions
    except grpc.RpcError:
        return "in no version"
    return f"in version {', '.join(versions)}" if versions else "in no version"
