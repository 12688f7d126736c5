"""Clients of the recommender over its three protocols that keep one connection open."""

import http.client
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Any

import numpy as np
import tritonclient.grpc as grpcclient

from benchmarks.common.protocols import PATHS, body, tensors
from winnow.errors import WinnowError
from winnow.ports import Ports

Answers = list[dict[str, Any]]
Call = Callable[[Sequence[Mapping[str, Any]]], Answers]
"""Sends the requests of one call and returns their answers."""

_TIMEOUT_S = 30
_DTYPES = {"INT32": np.int32, "FP64": np.float64, "BOOL": np.bool_}


@contextmanager
def grpc(ports: Ports) -> Iterator[Call]:
    """Over gRPC.

    Raises:
        WinnowError: the ids of an answer's tensor are not those of its items.
    """
    # A subchannel pool of its own: otherwise gRPC clients of one process share a connection.
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpcclient.InferenceServerClient(f"127.0.0.1:{ports.grpc}", channel_args=options) as client:

        def call(requests: Sequence[Mapping[str, Any]]) -> Answers:
            inputs = []
            for name, datatype, values in tensors(requests):
                inputs.append(grpcclient.InferInput(name, [len(values)], datatype))
                array = [value.encode() for value in values] if datatype == "BYTES" else values
                inputs[-1].set_data_from_numpy(np.array(array, _DTYPES.get(datatype, np.object_)))
            answered = client.infer("recommender", inputs, client_timeout=_TIMEOUT_S)
            answers = [json.loads(answer) for answer in answered.as_numpy("answer")]
            ids = [[each.decode() for each in row] for row in answered.as_numpy("item_ids").tolist()]
            return _checked(answers, ids)

        yield call


@contextmanager
def _over_http(ports: Ports, protocol: str) -> Iterator[Call]:
    with closing(http.client.HTTPConnection("127.0.0.1", ports.http, timeout=_TIMEOUT_S)) as connection:

        def call(requests: Sequence[Mapping[str, Any]]) -> Answers:
            connection.request("POST", PATHS[protocol], body(requests, protocol), {"Content-Type": "application/json"})
            response = connection.getresponse()
            content = json.loads(response.read())
            if response.status != http.HTTPStatus.OK:
                raise WinnowError(f"the endpoint refused: {content}")
            if protocol == "v1":
                predictions: Answers = content["predictions"]
                return predictions
            outputs = {output["name"]: output["data"] for output in content["outputs"]}
            width = len(outputs["item_ids"]) // len(requests)
            ids = [outputs["item_ids"][start : start + width] for start in range(0, len(outputs["item_ids"]), width)]
            return _checked([json.loads(answer) for answer in outputs["answer"]], ids)

        yield call


def _checked(answers: Answers, ids: list[list[str]]) -> Answers:
    for answer, tensor in zip(answers, ids, strict=True):
        listed = [item["item_id"] for item in answer["items"]]
        if listed + [""] * (len(tensor) - len(listed)) != tensor:
            raise WinnowError(f"the tensor item_ids is {tensor}, and the answer's items are {listed}")
    return answers


CLIENTS: dict[str, Callable[[Ports], AbstractContextManager[Call]]] = {
    "HTTP v1": lambda ports: _over_http(ports, "v1"),
    "HTTP v2": lambda ports: _over_http(ports, "v2"),
    "gRPC": grpc,
}
"""Protocol -> its client."""
