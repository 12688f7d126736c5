"""Several replicas of Triton behind one DNS name share the requests."""

import asyncio
from collections import Counter
from typing import Any

import grpc.aio
import numpy as np

from recommender_transformer.backends.predictor.triton import TritonModels, pb


async def replica(asked: Counter[int], number: int) -> tuple[Any, int]:
    async def infer(request: Any, context: Any) -> Any:
        asked[number] += 1
        response = pb.ModelInferResponse(model_name=request.model_name)
        for name in ("probabilities", "scores"):
            response.outputs.add(name=name, datatype="FP32", shape=[1, 1])
            response.raw_output_contents.append(np.zeros(1, np.float32).tobytes())
        return response

    handler = grpc.unary_unary_rpc_method_handler(
        infer, pb.ModelInferRequest.FromString, pb.ModelInferResponse.SerializeToString
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("inference.GRPCInferenceService", {"ModelInfer": handler})]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, port


def test_requests_rotate_between_replicas():
    async def main() -> Counter[int]:
        asked: Counter[int] = Counter()
        servers = [await replica(asked, number) for number in range(2)]
        models = TritonModels(f"ipv4:{','.join(f'127.0.0.1:{port}' for _, port in servers)}", 1)
        try:
            async with asyncio.timeout(10):
                # The replica that connects first gets every request until the other connects.
                while len(asked) < len(servers):
                    await models.rank({})
            asked.clear()
            for _ in range(40):
                await models.rank({})
            # One replica stops: the other takes every request, and calls fail only until the client notices.
            await servers[0][0].stop(None)
            await asyncio.sleep(0.1)
            before = asked[1]
            for _ in range(10):
                await models.rank({})
            assert asked[1] == before + 10
        finally:
            await models.close()
            await servers[1][0].stop(None)
        return asked

    asked = asyncio.run(main())
    assert asked[0] >= 15
    assert asked[1] >= 15 + 10
