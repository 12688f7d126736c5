"""A client of a running endpoint, with a function for each of its three protocols; all return the same answers."""

import base64
import json
from typing import Any

import httpx
import numpy as np
import tritonclient.grpc as grpcclient
from tritonclient.utils import InferenceServerException

from winnow.errors import WinnowError
from winnow.ports import LOOPBACK
from winnow.proxies import DIRECT, inference_client
from winnow.request import Answer

MODEL = "recommender"
TIMEOUT_S = 30.0
PATIENCE_MS = 5000
"""Deadline of an interactive query by content: large encoders on a small machine take longer than the default."""

Instance = dict[str, Any]
"""One request, in the form of :class:`winnow.request.RecommendRequest`."""


def http(port: int, host: str = LOOPBACK) -> httpx.Client:
    """An HTTP client of the endpoint on this machine; close it after use."""
    # The endpoint is on this machine, so requests take no proxy and there is no certificate to verify.
    return httpx.Client(base_url=f"http://{host}:{port}", trust_env=False, verify=False, timeout=TIMEOUT_S)  # noqa: S501


def grpc(port: int, host: str = LOOPBACK) -> grpcclient.InferenceServerClient:
    """A gRPC client of the endpoint on this machine; close it after use."""
    return inference_client(f"{host}:{port}", DIRECT)


def over_http_v1(endpoint: httpx.Client, instances: list[Instance]) -> list[Answer]:
    """KServe's V1 protocol: ``POST /v1/models/recommender:predict``.

    Raises:
        WinnowError: the endpoint does not answer, or refuses the request.
    """
    body = _post(endpoint, f"/v1/models/{MODEL}:predict", {"instances": instances})
    answers: list[Answer] = body["predictions"]
    return answers


def over_http_v2(endpoint: httpx.Client, instances: list[Instance]) -> list[Answer]:
    """The Open Inference Protocol over HTTP: ``POST /v2/models/recommender/infer``.

    Raises:
        WinnowError: the endpoint does not answer, or refuses the request.
    """
    body = _post(endpoint, f"/v2/models/{MODEL}/infer", v2_body(instances))
    texts = next(output["data"] for output in body["outputs"] if output["name"] == "answer")
    return [json.loads(text) for text in texts]


def v2_body(instances: list[Instance]) -> dict[str, Any]:
    """The JSON body of requests by the Open Inference Protocol; the requests must have the same fields."""
    tensors = [
        {"name": name, "datatype": datatype, "shape": list(array.shape), "data": array.tolist()}
        for name, datatype, array in _tensors(instances)
    ]
    return {"inputs": tensors}


def over_grpc(endpoint: grpcclient.InferenceServerClient, instances: list[Instance]) -> list[Answer]:
    """The Open Inference Protocol over gRPC.

    Raises:
        WinnowError: the endpoint does not answer, or refuses the request.
    """
    inputs = []
    for name, datatype, array in _tensors(instances):
        tensor = grpcclient.InferInput(name, list(array.shape), datatype)
        tensor.set_data_from_numpy(array)
        inputs.append(tensor)
    try:
        result = endpoint.infer(MODEL, inputs, client_timeout=TIMEOUT_S)
    except InferenceServerException as error:
        raise WinnowError(f"the endpoint refused over gRPC: {error}") from error
    return [json.loads(text) for text in result.as_numpy("answer")]


def add_items(endpoint: httpx.Client, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add new items to the running release: ``POST /v1/models/items:predict``.

    Args:
        endpoint: a client.
        items: at most 64, each in the form that the ``items`` model takes.

    Returns:
        Per item ``item_id``, ``replaced`` (the item was added before) and ``nearest`` (ids of the most similar items).

    Raises:
        WinnowError: the endpoint does not answer, or refuses an item.
    """
    added: list[dict[str, Any]] = _post(endpoint, "/v1/models/items:predict", {"instances": items})["predictions"]
    return added


def send_events(endpoint: httpx.Client, events: list[dict[str, Any]]) -> None:
    """Send events: ``POST /v1/models/events:predict``. All are stored, or none.

    Args:
        endpoint: a client.
        events: at most 64, each in the form that the ``events`` model takes.

    Raises:
        WinnowError: the endpoint does not answer, or refuses an event.
    """
    _post(endpoint, "/v1/models/events:predict", {"instances": events})


def encoded(content: bytes) -> dict[str, str]:
    """An image or a sound as the JSON value of a request."""
    return {"b64": base64.b64encode(content).decode()}


_DATATYPES = {str: "BYTES", bool: "BOOL", int: "INT32", float: "FP32", dict: "BYTES", list: "BYTES"}


def _tensors(instances: list[Instance]) -> list[tuple[str, str, Any]]:
    """Name, datatype and values of one tensor per field; the instances of a call must have the same fields."""
    tensors = []
    for name in instances[0]:
        values = [instance[name] for instance in instances]
        datatype = _DATATYPES[type(values[0])]
        if datatype == "BYTES":
            array = np.array([v if isinstance(v, str) else json.dumps(v) for v in values], np.object_)
        else:
            array = np.array(values, {"BOOL": np.bool_, "INT32": np.int32, "FP32": np.float32}[datatype])
        tensors.append((name, datatype, array))
    return tensors


def _post(endpoint: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    where = endpoint.base_url.join(path)
    try:
        response = endpoint.post(path, json=body)
    except httpx.HTTPError as error:
        raise WinnowError(f"no answer from {where} ({error}); start the stack with `winnow up`") from error
    if response.is_error:
        raise WinnowError(f"{where} refused with {response.status_code}: {response.text}")
    parsed: dict[str, Any] = response.json()
    return parsed
