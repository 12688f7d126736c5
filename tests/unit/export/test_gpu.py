"""Configurations for GPU nodes, and TensorRT plans, as far as they can be tested without a GPU."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch
from google.protobuf import text_format
from torch import Tensor, nn
from tritonclient.grpc import model_config_pb2 as triton

from export.repository import export_model
from export.triton import tensorrt_plan
from export.triton.config import MAX_BATCH, Shape, model_config
from export.triton.gpu_config import gpu_config
from export.triton.shapes import read_shapes, signature_of
from export.triton.tensorrt_plan import NoTensorRT, build_plan
from tests.support.paths import ROOT
from winnow.errors import WinnowError
from winnow.signatures import AUDIO_ENCODER, IMAGE_ENCODER, RANKER, TEXT_ENCODER

# As Triton's ONNX Runtime backend documents them.
DOCUMENTED = {
    "precision_mode",
    "max_workspace_size_bytes",
    "trt_engine_cache_enable",
    "trt_engine_cache_path",
    "trt_profile_min_shapes",
    "trt_profile_opt_shapes",
    "trt_profile_max_shapes",
}
RANKED: dict[str, Shape] = {
    "history_items": ("B", 50),
    "history_events": ("B", 50),
    "history_gaps": ("B", 50),
    "user_categorical": ("B", 3),
    "user_numeric": ("B", 1),
    "candidate_items": ("B", "N"),
    "candidate_categorical": ("B", "N", 4),
    "candidate_numeric": ("B", "N", 20),
    "fresh_vectors": ("B", "F", 64),
    "probabilities": ("B", "N", 2),
    "scores": ("B", "N"),
}


class Bag(nn.Module):
    """The mean of learned token vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(50, 8)

    def forward(self, tokens: Tensor) -> Tensor:
        return nn.functional.normalize(self.table(tokens).mean(1), dim=-1)


def release(repository: Path, version: int, length: int) -> Path:
    tokens = torch.randint(0, 50, (4, length), generator=torch.Generator().manual_seed(0))
    export_model(Bag(), TEXT_ENCODER, version, repository, {"tokens": tokens}, bound=1e-4)
    return repository / "text_encoder" / str(version) / "model.onnx"


def test_the_ranker_warms_up_and_has_its_ranges_on_a_gpu() -> None:
    config = gpu_config(RANKER, RANKED)
    [group] = config.instance_group
    assert group.kind == triton.ModelInstanceGroup.KIND_GPU
    [accelerator] = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert accelerator.name == "tensorrt"
    assert set(accelerator.parameters) == DOCUMENTED
    assert accelerator.parameters["precision_mode"] == "FP32"
    profiles = {
        size: dict(part.split(":") for part in accelerator.parameters[f"trt_profile_{size}_shapes"].split(","))
        for size in ("min", "opt", "max")
    }
    assert profiles["min"]["candidate_numeric"] == "1x1x20"
    assert profiles["opt"]["candidate_numeric"] == "16x512x20"
    assert profiles["max"]["candidate_numeric"] == f"{MAX_BATCH['ranker']}x2048x20"
    assert profiles["max"]["fresh_vectors"] == f"{MAX_BATCH['ranker']}x512x64"
    # By the graph's own names: an input without a profile is refused.
    assert all(list(shapes) == [spec.name for spec in RANKER.inputs] for shapes in profiles.values())
    assert [request.batch_size for request in config.model_warmup] == [1, MAX_BATCH["ranker"]]
    for request in config.model_warmup:
        assert {spec.name for spec in RANKER.inputs} == set(request.inputs)
        assert list(request.inputs["candidate_categorical"].dims) == [512, 4]
        assert all(given.zero_data and min(given.dims) > 0 for given in request.inputs.values())


def test_other_settings_equal_those_for_a_cpu() -> None:
    config = gpu_config(RANKER, RANKED)
    plain = model_config(RANKER, RANKED)
    for part in (config, plain):
        for field in ("instance_group", "optimization", "model_warmup"):
            part.ClearField(field)
    assert config == plain


@pytest.mark.parametrize(
    ("signature", "shape", "precision"),
    [
        (IMAGE_ENCODER, ("B", 64, 64, 3), "FP16"),
        (TEXT_ENCODER, ("B", 32), "FP16"),
        # A spectrogram's power exceeds fp16.
        (AUDIO_ENCODER, ("B", 8000), "FP32"),
    ],
)
def test_only_supported_graphs_compute_in_half_precision(signature, shape, precision) -> None:  # type: ignore[no-untyped-def]
    config = gpu_config(signature, {signature.inputs[0].name: shape, "embedding": ("B", 64)})
    [accelerator] = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert accelerator.parameters["precision_mode"] == precision


def test_sizes_are_read_from_the_graph(tmp_path: Path) -> None:
    path = release(tmp_path / "models" / "1", 1, 12)
    shapes: dict[str, Shape] = {"tokens": ("B", 12), "embedding": ("B", 8)}
    assert read_shapes(path) == shapes
    assert signature_of(path, shapes) is TEXT_ENCODER
    written = tmp_path / "models" / "1" / "text_encoder" / "configs" / "gpu.pbtxt"
    parsed = text_format.Parse(written.read_text(), triton.ModelConfig())
    assert parsed == gpu_config(TEXT_ENCODER, shapes)
    with pytest.raises(WinnowError, match="has the tensors a, b: it is none of retriever"):
        signature_of(path, {"a": (1,), "b": (1,)})


def test_a_plan_without_tensorrt_is_refused(tmp_path: Path) -> None:
    if tensorrt_plan.importlib.util.find_spec("tensorrt") is not None:
        pytest.skip("TensorRT is installed here")
    path = release(tmp_path / "models", 1, 12)
    command = [sys.executable, "-m", "export", "plan", str(path), str(tmp_path / "model.plan")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert re.fullmatch(r"TensorRT's Python package is not installed: .*pip install tensorrt.*\n", done.stderr)
    assert not (tmp_path / "model.plan").exists()


def test_a_plan_without_a_gpu_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    path = release(tmp_path / "models", 1, 12)
    monkeypatch.setattr(tensorrt_plan.importlib.util, "find_spec", lambda name: name == "tensorrt")
    with pytest.raises(NoTensorRT, match="no NVIDIA GPU"):
        build_plan(path, tmp_path / "model.plan")


def test_a_plan_of_an_unknown_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(WinnowError, match="not an ONNX model"):
        build_plan(tmp_path / "text.onnx", tmp_path / "model.plan")
    with pytest.raises(WinnowError, match="there is no"):
        build_plan(tmp_path / "absent.onnx", tmp_path / "model.plan")


def test_onnxruntime_comes_with_cpu_or_gpu_and_nothing_else() -> None:
    """Installing both wheels corrupts the environment: they share the package directory ``onnxruntime``."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = {"dependencies": project["dependencies"], **project["optional-dependencies"]}
    names = {
        group: {re.match(r"[\w-]+", line)[0] for line in lines}  # type: ignore[index]
        for group, lines in groups.items()
    }
    runtimes = {group: {name for name in found if name.startswith("onnxruntime")} for group, found in names.items()}
    assert {group: found for group, found in runtimes.items() if found} == {
        "cpu": {"onnxruntime"},
        "gpu": {"onnxruntime-gpu"},
    }
    for group, lines in groups.items():
        assert not any(re.search(r"\[.*\b(cpu|gpu)\b.*\]", line) for line in lines), f"{group} takes one of them along"
