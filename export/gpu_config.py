"""Triton's configuration for GPU nodes: ``{model}/configs/gpu.pbtxt``, chosen with ``--model-config-name=gpu``.

TensorRT builds an engine for a range of shapes and is slow at the first request, so ranges and warm-up requests need
the sizes that ``config.pbtxt`` leaves open: these are read from the releases in the repository. The parameters' names
are those of Triton's ONNX Runtime backend (its README, "ONNX Runtime with TensorRT optimization").
"""

from pathlib import Path

from google.protobuf import text_format  # type: ignore[import-untyped]
from tritonclient.grpc import model_config_pb2 as triton

from export.shapes import Shape, Span, read_shapes, span
from export.triton_config import MAX_BATCH, model_config
from export.version import MODEL_FILE
from winnow.errors import WinnowError
from winnow.signatures import IMAGE_ENCODER, SIGNATURES, TEXT_ENCODER, ModelSignature

ENGINES = "/engines"
"""Where engines are kept from one start to the next: a volume of the node's, for an engine fits one kind of GPU."""

WORKSPACE = 1 << 30
"""Bytes that TensorRT may take while it computes."""

_HALF = (IMAGE_ENCODER, TEXT_ENCODER)
"""In these TensorRT may compute in fp16. Not in the audio encoder: a spectrogram's power exceeds fp16's range, and this
switch is for the whole graph. Not in the funnel's models either: their scores decide the order of near-equal items."""


def gpu_config(signature: ModelSignature, shapes: dict[str, Shape]) -> "triton.ModelConfig":
    """The configuration of one model on a GPU.

    Args:
        signature: the model.
        shapes: input name -> its shape in the releases' graphs.
    """
    config = model_config(signature)
    del config.instance_group[:]
    config.instance_group.add(kind=triton.ModelInstanceGroup.KIND_GPU, count=1)
    spans = {name: [span(signature, dim) for dim in shape] for name, shape in shapes.items()}
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


def write_gpu_configs(repository: Path) -> list[Path]:
    """Write ``configs/gpu.pbtxt`` for every model that the repository has a release of.

    Returns:
        The files.

    Raises:
        WinnowError: there is no release, or two of them differ in a size.
    """
    written = []
    for signature in SIGNATURES:
        model = repository / signature.name
        found = {path: read_shapes(path)[1] for path in sorted(model.glob(f"[0-9]*/{MODEL_FILE}"))}
        if not found:
            continue
        (first, shapes), *others = found.items()
        for path, other in others:
            if other != shapes:
                raise WinnowError(
                    f"{first} takes {shapes}, {path} takes {other}: an engine's ranges are in the one configuration "
                    "that all versions share; give releases of other sizes a repository of their own"
                )
        target = model / "configs" / "gpu.pbtxt"
        target.parent.mkdir(exist_ok=True)
        target.write_text(text_format.MessageToString(gpu_config(signature, shapes)))
        written.append(target)
    if not written:
        raise WinnowError(f"{repository} holds no release whose sizes could be read: run `winnow build` first")
    return written


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
