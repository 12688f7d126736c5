"""Triton's configuration for GPU nodes: ``{model}/configs/gpu.pbtxt``, chosen with ``--model-config-name=gpu``.

TensorRT builds an engine for a range of shapes and is slow at the first request, so the configuration has ranges of the
dimensions that ``config.pbtxt`` leaves open, and warm-up requests. The parameters are named in Triton's ONNX Runtime
backend (its README, "ONNX Runtime with TensorRT optimization").
"""

from google.protobuf import text_format  # type: ignore[import-untyped]
from tritonclient.grpc import model_config_pb2 as triton

from export.triton.config import MAX_BATCH, Shapes, model_config
from export.triton.shapes import Span, span
from winnow.signatures import IMAGE_ENCODER, TEXT_ENCODER, ModelSignature

ENGINES = "/engines"
"""Where engines are kept from one start to the next: a volume of the node, because an engine fits one kind of GPU."""

WORKSPACE = 1 << 30
"""Bytes of workspace that TensorRT may use."""

_HALF = (IMAGE_ENCODER, TEXT_ENCODER)
"""In these TensorRT may compute in fp16. Not in the audio encoder: a spectrogram's power exceeds fp16's range, and this
switch covers the whole graph. Not in the funnel's models either: their scores decide the order of near-equal items."""


def gpu_config(signature: ModelSignature, shapes: Shapes) -> "triton.ModelConfig":
    """The configuration of one model on a GPU.

    Args:
        signature: the model.
        shapes: of the release's graph.
    """
    config = model_config(signature, shapes)
    del config.instance_group[:]
    config.instance_group.add(kind=triton.ModelInstanceGroup.KIND_GPU, count=1)
    spans = {spec.name: [span(signature, dim) for dim in shapes[spec.name]] for spec in signature.inputs}
    accelerator = config.optimization.execution_accelerators.gpu_execution_accelerator.add(name="tensorrt")
    accelerator.parameters.update(
        {
            "precision_mode": "FP16" if signature in _HALF else "FP32",
            "max_workspace_size_bytes": str(WORKSPACE),
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": ENGINES,
            "trt_profile_min_shapes": _profile({name: [s.least for s in sizes] for name, sizes in spans.items()}),
            "trt_profile_opt_shapes": _profile({name: [s.usual for s in sizes] for name, sizes in spans.items()}),
            "trt_profile_max_shapes": _profile({name: [s.most for s in sizes] for name, sizes in spans.items()}),
        }
    )
    for batch in (1, MAX_BATCH[signature.name]):
        config.model_warmup.append(_warm_up(signature, spans, batch))
    return config


def gpu_text(signature: ModelSignature, shapes: Shapes) -> str:
    """The content of the model's ``configs/gpu.pbtxt``; see :func:`gpu_config`."""
    text: str = text_format.MessageToString(gpu_config(signature, shapes))
    return text


def _profile(shapes: dict[str, list[int]]) -> str:
    return ",".join(f"{name}:{'x'.join(map(str, sizes))}" for name, sizes in shapes.items())


def _warm_up(signature: ModelSignature, spans: dict[str, list[Span]], batch: int) -> "triton.ModelWarmup":
    """A request of zeros: a valid index, token, pixel or sample everywhere, which random bytes are not."""
    warm_up = triton.ModelWarmup(name=f"batch of {batch}", batch_size=batch)
    for spec in signature.inputs:
        given = warm_up.inputs[spec.name]
        given.data_type = triton.DataType.Value(f"TYPE_{spec.dtype}")
        given.dims.extend(size.usual for size in spans[spec.name][1:])
        given.zero_data = True
    return warm_up
