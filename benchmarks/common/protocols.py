"""Recommendation requests as bodies of HTTP v1 and v2, and as the tensors of gRPC."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

PATHS = {"v1": "/v1/models/recommender:predict", "v2": "/v2/models/recommender/infer"}
"""Protocol over HTTP -> path of the recommender."""


class Tensor(NamedTuple):
    """A field of all requests of a call."""

    name: str
    datatype: str
    values: list[Any]


def tensors(requests: Sequence[Mapping[str, Any]]) -> list[Tensor]:
    """The tensors of requests that all have the same fields; objects become JSON text."""
    return [_tensor(name, [request[name] for request in requests]) for name in requests[0]]


def body(requests: Sequence[Mapping[str, Any]], protocol: str) -> bytes:
    """The body of a call over HTTP.

    Args:
        requests: its requests; for ``v2`` all with the same fields.
        protocol: ``v1`` or ``v2``.
    """
    if protocol == "v1":
        return json.dumps({"instances": requests}).encode()
    inputs = [
        {"name": name, "datatype": datatype, "shape": [len(values)], "data": values}
        for name, datatype, values in tensors(requests)
    ]
    return json.dumps({"inputs": inputs}).encode()


def _tensor(name: str, values: list[Any]) -> Tensor:
    match values[0]:
        case bool():
            return Tensor(name, "BOOL", values)
        case int():
            return Tensor(name, "INT32", values)
        case float():
            return Tensor(name, "FP64", values)
        case str():
            return Tensor(name, "BYTES", values)
        case _:
            return Tensor(name, "BYTES", [json.dumps(value) for value in values])
