"""Triton's configuration of each model, made from its signature and the shapes of its graph.

A configuration states the true dimensions of one release: -1 stands only where the graph's own dimension is symbolic,
because Triton's ONNX Runtime backend loads nothing else (docs/decisions/0023).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf import text_format  # type: ignore[import-untyped]
from tritonclient.grpc import model_config_pb2 as triton

from winnow.signatures import CANDIDATES, SIGNATURES, ModelSignature, TensorSpec

Shape = tuple[int | str, ...]
"""A number where the release fixes the dimension, its letter where it is free."""

Shapes = Mapping[str, Shape]
"""Tensor name -> shape, of a graph's inputs and outputs."""

MAX_BATCH = {
    "retriever": 64,
    "user_tower": 64,
    "ranker": 64,
    "item_tower": 64,
    "image_encoder": 32,
    "text_encoder": 64,
    "audio_encoder": 32,
}

_INTRA_OP_THREADS = 1

_MAX_QUEUE = 256
"""Requests that may wait for a model; one more is refused at once, and the funnel falls back. The last requests of a
longer queue would exceed their deadlines before the model gets to them."""

_MAX_WAIT_US = 10_000_000
"""The longest deadline of a request; the funnel does not wait longer for an answer."""


@dataclass(frozen=True)
class Backend:
    """The backend that serves a model.

    Attributes:
        name: Triton's name of it.
        parameters: what it takes besides the number of threads.
    """

    name: str = "onnxruntime"
    parameters: Mapping[str, str] = field(default_factory=dict)


ONNX_RUNTIME = Backend()
"""The backend of every model but an approximate retriever."""


def model_config(
    signature: ModelSignature, shapes: Shapes | None = None, backend: Backend = ONNX_RUNTIME
) -> "triton.ModelConfig":
    """The configuration of one model.

    Args:
        signature: the model.
        shapes: of the release's graph; without them, a dimension that a release chooses is -1, which makes a template.
        backend: that serves it.
    """
    dims = shapes or {spec.name: spec.dims for spec in (*signature.inputs, *signature.outputs)}
    return triton.ModelConfig(
        name=signature.name,
        backend=backend.name,
        max_batch_size=MAX_BATCH[signature.name],
        input=[triton.ModelInput(**_described(spec, dims[spec.name])) for spec in signature.inputs],
        output=[triton.ModelOutput(**_described(spec, dims[spec.name])) for spec in signature.outputs],
        version_policy=triton.ModelVersionPolicy(all=triton.ModelVersionPolicy.All()),
        dynamic_batching=_batching(signature),
        instance_group=[triton.ModelInstanceGroup(kind=triton.ModelInstanceGroup.KIND_AUTO, count=1)],
        parameters={
            "intra_op_thread_count": triton.ModelParameter(string_value=str(_INTRA_OP_THREADS)),
            "inter_op_thread_count": triton.ModelParameter(string_value="1"),
            **{name: triton.ModelParameter(string_value=value) for name, value in backend.parameters.items()},
        },
    )


def _batching(signature: ModelSignature) -> "triton.ModelDynamicBatching | None":
    """Without a delay: requests that queue while an instance is busy form a batch; none waits for others to arrive.

    None for the ranker: where calls for different numbers of candidates meet, Triton's batcher lets one wait for half a
    second. The transformers join their calls themselves.
    """
    if any(CANDIDATES in spec.dims for spec in signature.inputs):
        return None
    return triton.ModelDynamicBatching(
        default_queue_policy=triton.ModelQueuePolicy(
            timeout_action=triton.ModelQueuePolicy.REJECT,
            default_timeout_microseconds=_MAX_WAIT_US,
            max_queue_size=_MAX_QUEUE,
        )
    )


def config_text(signature: ModelSignature, shapes: Shapes | None = None, backend: Backend = ONNX_RUNTIME) -> str:
    """The content of the model's ``config.pbtxt``; see :func:`model_config`."""
    text: str = text_format.MessageToString(model_config(signature, shapes, backend))
    return text


def write_configs(folder: Path) -> list[Path]:
    """Write every model's template, ``{folder}/{model}/config.pbtxt``.

    Returns:
        The files.
    """
    written = []
    for signature in SIGNATURES:
        path = folder / signature.name / "config.pbtxt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(config_text(signature))
        written.append(path)
    return written


def _described(spec: TensorSpec, shape: Shape) -> dict[str, Any]:
    return {
        "name": spec.name,
        "data_type": triton.DataType.Value(f"TYPE_{spec.dtype}"),
        "dims": [dim if isinstance(dim, int) else -1 for dim in shape[1:]],  # Triton adds the batch itself
    }
