"""Encodes answers in one step: for v1 as JSON, for v2 as tensors in JSON, in KServe's binary format or in protobuf.

KServe's ``InferResponse`` gives the same bytes by way of arrays, a second validation and a second set of objects.
"""

import struct
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb  # type: ignore[import-untyped]

from winnow.request import Answer

NAMES = ("item_ids", "scores", "answer")
"""The output tensors of the ``recommender`` model, in their order."""

JSON_LENGTH = "inference-header-content-length"
"""The header of a body with binary tensors: the length of its JSON part."""

# As FastAPI's and KServe's ORJSONResponse.
_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY

Headers = list[tuple[bytes, bytes]]


class Output(NamedTuple):
    """An output tensor.

    Attributes:
        name: one of :data:`NAMES`.
        datatype: ``BYTES`` or ``FP32``.
        shape: its shape.
        data: its values, in row-major order; those of an ``FP32`` tensor are float32 numbers.
    """

    name: str
    datatype: str
    shape: list[int]
    data: list[Any]

    def raw(self) -> bytes:
        """The values in the binary format: little-endian, each string after its length."""
        if self.datatype == "FP32":
            return np.asarray(self.data, dtype="<f4").tobytes()
        encoded = [value.encode() for value in self.data]
        return b"".join([part for value in encoded for part in (struct.pack("<I", len(value)), value)])


class Header(NamedTuple):
    """What a v2 response says about itself.

    Attributes:
        model: name of the model.
        version: its version.
        request_id: id of the request.
    """

    model: str
    version: str
    request_id: str


def tensors(answers: Sequence[Answer], width: int, names: Collection[str] = NAMES) -> list[Output]:
    """The answers as output tensors.

    Args:
        answers: one answer per request.
        width: length of a list; shorter ones are padded with "" and 0.
        names: the tensors to make.
    """
    outputs = []
    if "item_ids" in names:
        ids: list[str] = []
        for answer in answers:
            ids += [item["item_id"] for item in answer["items"]] + [""] * (width - len(answer["items"]))
        outputs.append(Output("item_ids", "BYTES", [len(answers), width], ids))
    if "scores" in names:
        scores = np.zeros((len(answers), width), dtype=np.float32)
        for row, answer in zip(scores, answers, strict=True):
            row[: len(answer["items"])] = [item["score"] for item in answer["items"]]
        outputs.append(Output("scores", "FP32", [len(answers), width], scores.ravel().tolist()))
    if "answer" in names:
        documents = [orjson.dumps(answer).decode() for answer in answers]
        outputs.append(Output("answer", "BYTES", [len(answers)], documents))
    return outputs


def to_v1(answers: Sequence[Answer]) -> tuple[bytes, Headers]:
    """Body and headers of a v1 response."""
    return _json({"predictions": answers})


def to_v2(header: Header, outputs: Sequence[tuple[Output, bool]]) -> tuple[bytes, Headers]:
    """Body and headers of a v2 response over HTTP.

    Args:
        header: what the response says about itself.
        outputs: the tensors, each with whether it is in the binary format.
    """
    if not any(binary for _, binary in outputs):
        described = [
            {"name": one.name, "shape": one.shape, "datatype": one.datatype, "parameters": None, "data": one.data}
            for one, _ in outputs
        ]
        return _json(
            {
                "model_name": header.model,
                "model_version": header.version,
                "id": header.request_id,
                "parameters": None,
                "outputs": described,
            }
        )
    parts, described = [], []
    for one, binary in outputs:
        form: dict[str, Any] = {"name": one.name, "shape": one.shape, "datatype": one.datatype}
        if binary:
            parts.append(one.raw())
            form["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            form["data"] = one.data
        described.append(form)
    text = orjson.dumps(
        {"id": header.request_id, "model_name": header.model, "model_version": header.version, "outputs": described}
    )
    body = b"".join((text, *parts))
    return body, [(b"content-length", b"%d" % len(body)), (JSON_LENGTH.encode(), b"%d" % len(text))]


def to_grpc(header: Header, outputs: Sequence[Output], raw: bool) -> Any:
    """A v2 response over gRPC.

    Args:
        header: what the response says about itself.
        outputs: the tensors.
        raw: whether the tensors are in the binary format.
    """
    response = pb.ModelInferResponse(id=header.request_id, model_name=header.model, model_version=header.version)
    for one in outputs:
        output = response.outputs.add(name=one.name, datatype=one.datatype, shape=one.shape)
        if raw:
            response.raw_output_contents.append(one.raw())
        elif one.datatype == "FP32":
            output.contents.fp32_contents.extend(one.data)
        else:
            output.contents.bytes_contents.extend([value.encode() for value in one.data])
    return response


def _json(value: object) -> tuple[bytes, Headers]:
    body = orjson.dumps(value, option=_OPTIONS)
    return body, [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
