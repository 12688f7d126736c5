"""Converts between KServe's protocols (v1 JSON; v2 tensors over HTTP and gRPC) and the plain values of the contract."""

import math
import struct
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from kserve import InferInput, InferOutput, InferRequest, InferResponse  # type: ignore[import-untyped]

from recommender_transformer.serving.protocols.cloudevents import CloudEvents
from recommender_transformer.serving.protocols.json_body import loads
from winnow.forms.combinations import ASKED
from winnow.request import MAX_INSTANCES, InvalidRequest, quote


@dataclass(frozen=True)
class Tensor:
    """The tensor of a field in the Open Inference Protocol.

    Attributes:
        datatypes: accepted datatype -> NumPy dtype of its raw form; "" for ``BYTES``.
        is_json: whether each element is a JSON document.
    """

    datatypes: Mapping[str, str]
    is_json: bool = False


_TEXT = Tensor({"BYTES": ""})
_JSON = Tensor({"BYTES": ""}, is_json=True)
_WHOLE = Tensor({"INT32": "<i4", "INT64": "<i8"})
_REAL = Tensor({"FP32": "<f4", "FP64": "<f8"})
_BOOLEAN = Tensor({"BOOL": "?"})

REQUEST_TENSORS = {
    "user_id": _TEXT,
    "query": _JSON,
    "items": _JSON,
    "like": _TEXT,
    "relation": _TEXT,
    "rank": _JSON,
    "list": _TEXT,
    "k": _WHOLE,
    "debug": _BOOLEAN,
    "filters": _JSON,
    "deadline_ms": _WHOLE,
    "diversity": _REAL,
    "objectives": _JSON,
    "repeats": _TEXT,
}
"""Input tensors of the ``recommender`` model: the fields of a request."""

REQUEST_LEADING = ASKED
"""At least one of them is required; their length is the number of requests."""

EVENT_TENSORS = {
    "user_id": _TEXT,
    "item_id": _TEXT,
    "event": _TEXT,
    "timestamp": _WHOLE,
    "amount": _REAL,
    "event_id": _TEXT,
}
"""Input tensors of the ``events`` model."""

EVENT_LEADING = ("user_id",)

ITEM_TENSORS = {
    "item_id": _TEXT,
    "title": _TEXT,
    "description": _TEXT,
    "category": _TEXT,
    "price": _REAL,
    "available": _BOOLEAN,
    "created_at": _WHOLE,
    "image": _JSON,
    "audio": _JSON,
    "features": _JSON,
}
"""Input tensors of the ``items`` model."""

ITEM_LEADING = ("item_id",)


def instances(payload: object, tensors: Mapping[str, Tensor], leading: Sequence[str]) -> object:
    """The instances of a call, before validation against the contract.

    Args:
        payload: the decoded call: JSON for v1, an ``InferRequest`` for v2.
        tensors: the model's input tensors.
        leading: input tensors of which at least one is required; their length is the number of instances.

    Raises:
        InvalidRequest: the call does not have the form of its protocol; the message names the field.
    """
    if isinstance(payload, InferRequest):
        return _from_tensors(payload, tensors, leading)
    if isinstance(payload, CloudEvents):
        raise InvalidRequest("body: CloudEvents are accepted by the events model only")
    if not isinstance(payload, dict) or "instances" not in payload:
        raise InvalidRequest(f'body: must be an object with a list "instances", got {quote(payload)}')
    unknown = [key for key in payload if key != "instances"]
    if unknown:
        raise InvalidRequest(f'{quote(unknown[0])}: is not a field of the body; its one field is "instances"')
    return payload["instances"]


def _from_tensors(
    request: InferRequest, tensors: Mapping[str, Tensor], leading: Sequence[str]
) -> list[dict[str, object]]:
    columns: dict[str, list[object]] = {}
    _text(request.id or "", "id")
    for tensor in request.inputs:
        if tensor.name not in tensors:
            raise InvalidRequest(f"{quote(tensor.name)}: is not an input; the inputs are {', '.join(tensors)}")
        if tensor.name in columns:
            raise InvalidRequest(f"{tensor.name}: is given twice")
        columns[tensor.name] = _column(tensor, tensors[tensor.name])
    leaders = [name for name in leading if name in columns]
    if not leaders:
        unless = f", unless there is one of {', '.join(leading[1:])}" if len(leading) > 1 else ""
        raise InvalidRequest(f"{leading[0]}: is required{unless}")
    first = max(leaders, key=lambda name: len(columns[name]))
    count = len(columns[first])
    for name, values in columns.items():
        if len(values) not in (1, count):
            raise InvalidRequest(f"{name}: must have 1 or {count} elements, as {first} has, got {len(values)}")
    return [
        {name: values[position if len(values) > 1 else 0] for name, values in columns.items()}
        for position in range(count)
    ]


def _column(given: InferInput, tensor: Tensor) -> list[object]:
    if given.datatype not in tensor.datatypes:
        raise InvalidRequest(
            f"{given.name}: must be a tensor of {' or '.join(tensor.datatypes)}, got {quote(given.datatype)}"
        )
    shape = list(given.shape)
    if not (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)) or not 1 <= shape[0] <= MAX_INSTANCES:
        raise InvalidRequest(f"{given.name}: must have shape [n], n from 1 to {MAX_INSTANCES}, got {quote(shape)}")
    if given._raw_data is None:
        values = _flat(given.data)
    elif given.datatype == "BYTES":
        values = list(_strings(given._raw_data, given.name))
    else:
        dtype = np.dtype(tensor.datatypes[given.datatype])
        size = dtype.itemsize * math.prod(shape)
        if len(given._raw_data) != size:
            raise InvalidRequest(
                f"{given.name}: must be {size} bytes for {given.datatype} {shape}, got {len(given._raw_data)}"
            )
        values = np.frombuffer(given._raw_data, dtype=dtype).tolist()
    if len(values) != shape[0]:
        raise InvalidRequest(f"{given.name}: must have {shape[0]} elements for its shape {shape}, got {len(values)}")
    if given.datatype == "BYTES":
        values = [_text(value, f"{given.name}[{position}]") for position, value in enumerate(values)]
    if tensor.is_json:
        values = [loads(str(value).encode(), f"{given.name}[{position}]") for position, value in enumerate(values)]
    return values


def _flat(data: object) -> list[object]:
    if not isinstance(data, list):
        return []
    return [value[0] if isinstance(value, list) and len(value) == 1 else value for value in data]


def _strings(raw: bytes, name: str) -> Sequence[object]:
    values: list[object] = []
    offset = 0
    while offset < len(raw):
        if len(raw) - offset < 4:
            raise InvalidRequest(f"{name}: its binary data is truncated")
        (length,) = struct.unpack_from("<I", raw, offset)
        offset += 4
        if len(raw) - offset < length:
            raise InvalidRequest(f"{name}: its binary data is truncated")
        values.append(raw[offset : offset + length])
        offset += length
    return values


def _text(value: object, where: str) -> str:
    if not isinstance(value, str | bytes):
        raise InvalidRequest(f"{where}: must be a string, got {quote(value)}")
    try:
        if isinstance(value, bytes):
            return value.decode()
        # JSON can contain a lone surrogate, which UTF-8 cannot encode.
        value.encode()
        return value
    except UnicodeError:
        raise InvalidRequest(f"{where}: must be UTF-8 text, got {quote(value)}") from None


def check_outputs(request: InferRequest | None, outputs: Sequence[str]) -> None:
    """Check that a v2 call requests outputs of the model only.

    Raises:
        InvalidRequest: the model lacks an output; the message names it.
    """
    for output in (request.request_outputs if request is not None else None) or ():
        if output.name not in outputs:
            raise InvalidRequest(
                f"outputs: {quote(output.name)} is not an output; the outputs are {', '.join(outputs)}"
            )


def response(request: InferRequest, model: str, version: int, outputs: Sequence[InferOutput]) -> InferResponse:
    """A v2 response with the requested outputs, or all outputs if the call names none."""
    requested = {output.name for output in request.request_outputs or ()}
    return InferResponse(
        response_id=request.id or uuid.uuid4().hex,
        model_name=model,
        model_version=str(version),
        infer_outputs=[output for output in outputs if not requested or output.name in requested],
        use_binary_outputs=request.use_binary_outputs,
        requested_outputs=request.request_outputs,
    )


def strings(name: str, shape: list[int], values: list[str]) -> InferOutput:
    """A BYTES output."""
    return InferOutput(name=name, shape=shape, datatype="BYTES", data=values)


def described(tensors: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    """Input tensors in the form of the model's metadata."""
    return [{"name": name, "datatype": next(iter(tensor.datatypes)), "shape": [-1]} for name, tensor in tensors.items()]
