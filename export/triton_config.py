"""Triton's configuration of each model, made from its signature.

One configuration serves every release side by side, so whatever a release may choose (history length, candidates,
feature widths, dimensions) is -1 here: the graph itself checks it.
"""

from pathlib import Path

from google.protobuf import text_format  # type: ignore[import-untyped]
from tritonclient.grpc import model_config_pb2 as triton

from winnow.signatures import SIGNATURES, ModelSignature, TensorSpec

MAX_BATCH = {
    "retriever": 64,
    "ranker": 64,
    "item_tower": 64,
    "image_encoder": 32,
    "text_encoder": 64,
    "audio_encoder": 32,
}

_INTRA_OP_THREADS = 1

_MAX_QUEUE = 256
"""Requests that may wait for a model; one more is refused at once, and the funnel does without it. A longer queue would
be over anybody's deadline by the time it is worked off."""

_MAX_WAIT_US = 10_000_000
"""The longest deadline a request may ask for: whoever waited so long has gone."""


def model_config(signature: ModelSignature) -> "triton.ModelConfig":
    """The configuration of one model."""
    return triton.ModelConfig(
        name=signature.name,
        backend="onnxruntime",
        max_batch_size=MAX_BATCH[signature.name],
        input=[triton.ModelInput(name=s.name, data_type=_data_type(s), dims=_dims(s)) for s in signature.inputs],
        output=[triton.ModelOutput(name=s.name, data_type=_data_type(s), dims=_dims(s)) for s in signature.outputs],
        version_policy=triton.ModelVersionPolicy(all=triton.ModelVersionPolicy.All()),
        # Without a delay: what queues up while an instance is busy is joined, and nobody waits for company.
        dynamic_batching=triton.ModelDynamicBatching(
            default_queue_policy=triton.ModelQueuePolicy(
                timeout_action=triton.ModelQueuePolicy.REJECT,
                default_timeout_microseconds=_MAX_WAIT_US,
                max_queue_size=_MAX_QUEUE,
            )
        ),
        instance_group=[triton.ModelInstanceGroup(kind=triton.ModelInstanceGroup.KIND_AUTO, count=1)],
        parameters={
            "intra_op_thread_count": triton.ModelParameter(string_value=str(_INTRA_OP_THREADS)),
            "inter_op_thread_count": triton.ModelParameter(string_value="1"),
        },
    )


def config_text(signature: ModelSignature) -> str:
    """The content of the model's ``config.pbtxt``."""
    text: str = text_format.MessageToString(model_config(signature))
    return text


def write_configs(repository: Path) -> list[Path]:
    """Write every model's ``config.pbtxt`` into a model repository.

    Returns:
        The files.
    """
    written = []
    for signature in SIGNATURES:
        path = repository / signature.name / "config.pbtxt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(config_text(signature))
        written.append(path)
    return written


def _dims(spec: TensorSpec) -> list[int]:
    return [dim if isinstance(dim, int) else -1 for dim in spec.dims[1:]]  # Triton adds the batch itself


def _data_type(spec: TensorSpec) -> int:
    value: int = triton.DataType.Value(f"TYPE_{spec.dtype}")
    return value
