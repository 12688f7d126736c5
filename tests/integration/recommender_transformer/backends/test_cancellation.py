"""Abandoned calls to Triton: cancelled where the server supports it, else left to end."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import grpc.aio
import numpy as np
import pytest

from recommender_transformer.backends.predictor import triton
from recommender_transformer.backends.predictor.triton import TritonModels

SERVICE = "inference.GRPCInferenceService"


@dataclass
class Predictor:
    """A gRPC server that reports a version of Triton, and records how its calls end."""

    version: str
    slow: bool = False
    metadata_down: bool = False
    asked: int = 0
    ended: list[str] = field(default_factory=list)

    async def metadata(self, request: Any, context: Any) -> Any:
        self.asked += 1
        if self.metadata_down:
            await context.abort(grpc.StatusCode.UNAVAILABLE)
        return triton.pb.ServerMetadataResponse(name="triton", version=self.version)

    async def infer(self, request: Any, context: Any) -> Any:
        try:
            await asyncio.sleep(0.4 if self.slow else 0.0)
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        self.ended.append("answered")
        response = triton.pb.ModelInferResponse(model_name="ranker")
        for name in ("probabilities", "scores"):
            response.outputs.add(name=name, datatype="FP32", shape=[1])
            response.raw_output_contents.append(np.ones(1, np.float32).tobytes())
        return response

    async def serve(self) -> tuple[Any, str]:
        server = grpc.aio.server()
        handlers = {
            "ServerMetadata": (self.metadata, triton.pb.ServerMetadataRequest, triton.pb.ServerMetadataResponse),
            "ModelInfer": (self.infer, triton.pb.ModelInferRequest, triton.pb.ModelInferResponse),
        }
        server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(
                    SERVICE,
                    {
                        name: grpc.unary_unary_rpc_method_handler(
                            method,
                            request_deserializer=question.FromString,
                            response_serializer=answer.SerializeToString,
                        )
                        for name, (method, question, answer) in handlers.items()
                    },
                ),
            )
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        return server, f"127.0.0.1:{port}"


async def abandon_one(predictor: Predictor) -> None:
    """One call that is answered, then one that its caller abandons."""
    server, address = await predictor.serve()
    models = TritonModels(address, 1)
    inputs = {"candidate_items": np.zeros((1, 1), np.int32)}
    await models.rank(inputs)
    # The version is requested beside the calls.
    await asyncio.sleep(0.3)
    predictor.slow = True
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await models.rank(inputs)
    await asyncio.sleep(0.6)
    await models.close()
    await server.stop(None)


@pytest.mark.parametrize(
    ("version", "end"),
    [("2.51.0", "answered"), ("2.56.0", "cancelled"), ("3.0.0", "cancelled"), ("unheard-of", "answered")],
)
def test_a_call_is_cancelled_where_the_server_supports_it(version: str, end: str) -> None:
    predictor = Predictor(version)
    asyncio.run(abandon_one(predictor))
    assert predictor.ended == ["answered", end]
    assert predictor.asked == 1


def test_a_server_without_a_known_version_gets_no_cancellation_and_is_asked_again() -> None:
    predictor = Predictor("2.60.0", metadata_down=True)

    async def talk() -> None:
        server, address = await predictor.serve()
        models = TritonModels(address, 1)
        inputs = {"candidate_items": np.zeros((1, 1), np.int32)}
        for _ in range(2):
            await models.rank(inputs)
            await asyncio.sleep(0.2)
        await models.close()
        await server.stop(None)

    asyncio.run(talk())
    assert predictor.asked == 2
