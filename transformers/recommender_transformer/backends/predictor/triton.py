"""Client of the models in Triton: gRPC with raw tensors, pinned to one version.

KServe and Triton's client package each contain a build of the same protocol messages, and one process cannot load both.
This module uses KServe's, which the server loads anyway, unless Triton's are loaded already. Calling the gRPC method
directly also avoids the overhead of the client wrappers.
"""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from typing import Any

import grpc
import grpc.aio
import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.joined_calls import JoinedCalls
from recommender_transformer.backends.predictor.models import Ranked, Retrieved, SimilarItems, Tensors
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
    # Reconnect within a second after Triton recovers; gRPC's default is up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A name may resolve to several replicas (a headless service); gRPC's default uses the first only.
    ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}'),
]

_CANCELLABLE = (2, 56)
"""The first version of Triton that handles cancelled calls (container release 25.03). Earlier versions can crash on a
cancellation (triton-inference-server/server#7368, #8034)."""

_CALL_TIMEOUT_S = 30.0
"""gRPC deadline of a call. Abandoned calls end after it, so that they do not accumulate if Triton hangs."""

_METADATA_TIMEOUT_S = 5.0

_JOINED = 16
"""Requests in one call. The cost of a call itself is negligible beyond; what remains is the graph's time per row."""

Shapes = tuple[tuple[str, np.dtype[Any], tuple[int, ...]], ...]
"""Name, dtype and shape of each input of a call."""


def address_of(host: str) -> str:
    """``host:port`` of a predictor host. The default port is 80, as of KServe's services; gRPC's own default is 443."""
    return host if ":" in host else f"{host}:80"


class TritonModels:
    """Client of one version of every model. Create it inside the running event loop.

    Calls of the models that nearly every request needs are joined into batches
    (:mod:`recommender_transformer.backends.joined_calls`): a call costs this process and Triton several times as
    much as another row in it.

    Args:
        host: ``host:port`` of Triton's gRPC endpoint.
        version: number of the release, which is the version of its models.
    """

    def __init__(self, host: str, version: int) -> None:
        self._version = str(version)
        options = [*_CHANNEL_OPTIONS, *channel_options(host)]
        self._channel = grpc.aio.insecure_channel(address_of(host), options=options)
        self._infer = self._channel.unary_unary(
            f"{_SERVICE}/ModelInfer",
            request_serializer=None,
            response_deserializer=pb.ModelInferResponse.FromString,
        )
        self._retriever = self._joined("retriever", ("candidates", "candidate_scores", "user_vector"))
        self._user_tower = self._joined("user_tower", ("user_vector",))
        self._ranker = self._joined("ranker", ("probabilities",), listed="candidate_items")
        self._can_cancel = False
        self._version_task: asyncio.Task[None] | None = None

    async def retrieve(self, inputs: Tensors) -> Retrieved:
        """Call the retriever.

        Raises:
            grpc.aio.AioRpcError: Triton does not answer, or does not serve this version.
        """
        outputs = await self._retriever(inputs)
        return Retrieved(outputs["candidates"], outputs["candidate_scores"], outputs["user_vector"])

    async def user_vector(self, inputs: Tensors) -> NDArray[np.float32]:
        """Call the user tower.

        Raises:
            grpc.aio.AioRpcError: Triton does not answer, or does not serve this version.
        """
        return (await self._user_tower(inputs))["user_vector"]

    async def rank(self, inputs: Tensors) -> Ranked:
        """Call the ranker.

        Raises:
            grpc.aio.AioRpcError: Triton does not answer, or does not serve this version.
        """
        return Ranked((await self._ranker(inputs))["probabilities"])

    async def encode(self, modality: Modality, content: NDArray[Any]) -> NDArray[np.float32]:
        """Call an encoder.

        Raises:
            grpc.aio.AioRpcError: Triton does not answer, or does not serve this version.
        """
        signature = ENCODERS[modality]
        outputs = await self._call(signature.name, {signature.inputs[0].name: content}, ("embedding",))
        return outputs["embedding"]

    async def tower(self, inputs: Tensors) -> SimilarItems:
        """Call the item tower.

        Raises:
            grpc.aio.AioRpcError: Triton does not answer, or does not serve this version.
        """
        outputs = await self._call("item_tower", inputs, ("item_vector", "candidates", "candidate_scores"))
        return SimilarItems(outputs["item_vector"], outputs["candidates"], outputs["candidate_scores"])

    async def close(self) -> None:
        """Close the channel."""
        if self._version_task is not None:
            self._version_task.cancel()
        for calls in (self._retriever, self._user_tower, self._ranker):
            await calls.close()
        await self._channel.close()

    def _joined(
        self, model: str, outputs: tuple[str, ...], listed: str = ""
    ) -> JoinedCalls[Tensors, dict[str, NDArray[Any]]]:
        async def call(batch: Sequence[Tensors]) -> list[dict[str, NDArray[Any]]]:
            if len(batch) == 1:
                return [await self._call(model, batch[0], outputs)]
            return parted(await self._call(model, joined(batch), outputs), batch, listed)

        return JoinedCalls(call, _JOINED)

    async def _call(self, model: str, inputs: Tensors, outputs: tuple[str, ...]) -> dict[str, NDArray[Any]]:
        shapes = tuple((name, array.dtype, array.shape) for name, array in inputs.items())
        contents = pb.ModelInferRequest(raw_input_contents=[array.tobytes() for array in inputs.values()])
        # Protocol messages are merged by concatenating them.
        request = _head(model, self._version, shapes, outputs) + contents.SerializeToString()
        call = self._infer(request, timeout=_CALL_TIMEOUT_S)
        # Until Triton is known to handle cancellation, a call is not cancelled; its deadline ends it.
        response = await (call if self._can_cancel else asyncio.shield(call))
        if self._version_task is None:
            self._version_task = asyncio.create_task(self._read_version())
        return {
            output.name: np.frombuffer(raw, dtype=_DTYPES[output.datatype]).reshape(tuple(output.shape))
            for output, raw in zip(response.outputs, response.raw_output_contents, strict=True)
        }

    async def _read_version(self) -> None:
        """Read the server's version, once it has answered a call, to decide whether calls may be cancelled."""
        metadata = self._channel.unary_unary(
            f"{_SERVICE}/ServerMetadata",
            request_serializer=pb.ServerMetadataRequest.SerializeToString,
            response_deserializer=pb.ServerMetadataResponse.FromString,
        )
        try:
            version = (await metadata(pb.ServerMetadataRequest(), timeout=_METADATA_TIMEOUT_S)).version
        except grpc.aio.AioRpcError as error:
            # A server without this method is not asked again. Asking after each call would, with round robin over two
            # replicas, send all inference calls to one of them and all metadata calls to the other.
            if error.code() != grpc.StatusCode.UNIMPLEMENTED:
                self._version_task = None
            return
        parts = version.split(".")[:2]
        self._can_cancel = all(part.isdecimal() for part in parts) and tuple(map(int, parts)) >= _CANCELLABLE


@lru_cache(maxsize=1024)
def _head(model: str, version: str, shapes: Shapes, outputs: tuple[str, ...]) -> bytes:
    """A serialised request without the contents of its inputs."""
    request = pb.ModelInferRequest(model_name=model, model_version=version)
    for name, dtype, shape in shapes:
        request.inputs.add(name=name, datatype=_DATATYPES[dtype], shape=shape)
    for name in outputs:
        request.outputs.add(name=name)
    head: bytes = request.SerializeToString()
    return head


def joined(batch: Sequence[Tensors]) -> dict[str, NDArray[Any]]:
    """One batch of several; rows that are shorter in a dimension are padded with zeros, the padding of all inputs.

    Raises:
        TypeError: the parts have inputs of different types.
    """
    arrays = {name: [inputs[name] for inputs in batch] for name in batch[0]}
    return {name: _stacked(parts) for name, parts in arrays.items()}


def parted(
    outputs: Mapping[str, NDArray[Any]], batch: Sequence[Tensors], listed: str = ""
) -> list[dict[str, NDArray[Any]]]:
    """The outputs of each part of a :func:`joined` batch.

    Args:
        outputs: of the joined batch.
        batch: the inputs of each part.
        listed: an input whose second dimension the outputs have, too; they are cut to that of each part.
    """
    parts, start = [], 0
    for inputs in batch:
        end = start + len(next(iter(inputs.values())))
        rows = (slice(start, end), slice(inputs[listed].shape[1])) if listed else slice(start, end)
        parts.append({name: array[rows] for name, array in outputs.items()})
        start = end
    return parts


def _stacked(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    shape = parts[0].shape[1:]
    if all(part.shape[1:] == shape for part in parts):
        return np.concatenate(parts, dtype=parts[0].dtype, casting="no")
    shape = tuple(map(max, zip(*(part.shape[1:] for part in parts), strict=True)))
    stacked = np.zeros((sum(map(len, parts)), *shape), parts[0].dtype)
    start = 0
    for part in parts:
        place = (slice(start, start + len(part)), *map(slice, part.shape[1:]))
        np.copyto(stacked[place], part, casting="no")
        start += len(part)
    return stacked


def check_versions(host: str, version: int, models: tuple[str, ...], timeout_s: float = 5.0) -> None:
    """Check that Triton serves version ``version`` of every model.

    Raises:
        ReleaseMismatch: Triton does not serve this version of a model; the message names the versions that it serves.
        WinnowError: Triton does not answer.
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
                request = pb.ModelReadyRequest(name=model, version=str(version))
                if not ready(request, timeout=timeout_s, wait_for_ready=True).ready:
                    served = _versions(metadata, model, timeout_s)
                    raise ReleaseMismatch(
                        f"this transformer is pinned to release {version}, but Triton at {host} serves "
                        f"{model} {served}: load release {version} there, or pin the transformer to what is served"
                    )
        except grpc.RpcError as error:
            raise WinnowError(f"Triton does not answer at {host}: {error.code().name}") from error


def _versions(metadata: "grpc.UnaryUnaryMultiCallable[Any, Any]", model: str, timeout_s: float) -> str:
    try:
        versions = metadata(pb.ModelMetadataRequest(name=model), timeout=timeout_s).versions
    except grpc.RpcError:
        return "in no version"
    return f"in version {', '.join(versions)}" if versions else "in no version"
