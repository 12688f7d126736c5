"""A release's model repository: every graph at every precision is accepted by TensorRT and the native backend."""

import ctypes
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2 as triton

from export.triton.tensorrt_plan import NoTensorRT, read_network, tensorrt
from tests.support.paths import ROOT
from winnow.local.triton import BACKENDS
from winnow.signatures import SIGNATURES, USER_TOWER

TEMPLATES = ROOT / "model_repository"
MODELS = [signature.name for signature in SIGNATURES if signature is not USER_TOWER]  # the retriever takes its place
PROVIDER = "TensorrtExecutionProvider"


@pytest.fixture(scope="module")
def repository(winnow: Any) -> Path:
    return winnow.home / "model_repository" / "1"


@pytest.fixture(scope="module")
def graphs(winnow: Any, repository: Path) -> list[Path]:
    """The release's six graphs, and its encoders at each precision."""
    served = sorted(repository.glob("*/1/model.onnx"))
    # Other tests may have built further releases in this home.
    [encoded, *_] = sorted(winnow.home.glob("pipelines/*/encode/encoders/onnx"), key=lambda path: path.stat().st_mtime)
    variants = sorted(encoded.glob("*/model*.onnx"))
    assert (len(served), len(variants)) == (6, 9)
    return served + variants


def configuration(path: Path) -> Any:
    return text_format.Parse(path.read_text(), triton.ModelConfig())


def test_a_release_is_a_repository_of_its_own(winnow: Any, repository: Path) -> None:
    files = {str(path.relative_to(repository)) for path in repository.rglob("*") if path.is_file()}
    release = winnow.release()
    parts = ("config.pbtxt", "configs/gpu.pbtxt", "1/model.onnx")
    shared = {f"{name}/1/item_vectors.npy" for name in ("retriever", "ranker", "item_tower")}
    assert files == {f"{name}/{part}" for name in release.manifest.models for part in parts} | shared
    assert all((repository / path).samefile(release.folder / "item_vectors.npy") for path in shared)
    release.verify(repository)


@pytest.mark.parametrize("name", MODELS)
def test_the_native_backend_accepts_the_configurations_but_not_their_templates(repository: Path, name: str) -> None:
    validate = runpy.run_path(str(BACKENDS / "onnxruntime" / "native_rule.py"))["validate"]
    session = onnxruntime.InferenceSession(repository / name / "1" / "model.onnx", providers=["CPUExecutionProvider"])

    def hold(path: Path) -> None:
        validate(name, json_format.MessageToDict(configuration(path), preserving_proto_field_name=True), session)

    hold(repository / name / "config.pbtxt")
    hold(repository / name / "configs" / "gpu.pbtxt")
    # The templates are the configurations without dimensions.
    with pytest.raises(ValueError, match=rf"^model '{name}', tensor '\w+': the model expects . dimensions \(shape "):
        hold(TEMPLATES / name / "config.pbtxt")


@pytest.mark.parametrize("name", MODELS)
def test_profiles_match_the_graphs_inputs(repository: Path, name: str) -> None:
    """TensorRT: "no associated shape profiles provided" for an input without one."""
    session = onnxruntime.InferenceSession(repository / name / "1" / "model.onnx", providers=["CPUExecutionProvider"])
    config = configuration(repository / name / "configs" / "gpu.pbtxt")
    [accelerator] = config.optimization.execution_accelerators.gpu_execution_accelerator
    profiles = [
        {
            tensor: [int(size) for size in sizes.split("x")]
            for tensor, sizes in (
                part.split(":") for part in accelerator.parameters[f"trt_profile_{which}_shapes"].split(",")
            )
        }
        for which in ("min", "opt", "max")
    ]
    for tensor in session.get_inputs():
        sizes = zip(*(profile.pop(tensor.name) for profile in profiles), strict=True)
        for dim, (least, usual, most) in zip(tensor.shape, sizes, strict=True):
            assert 1 <= least <= usual <= most
            assert (least < most) == isinstance(dim, str)
            assert isinstance(dim, str) or dim == usual
    assert profiles == [{}, {}, {}]


def test_byte_inputs_are_cast_first(graphs: list[Path]) -> None:
    for path in graphs:
        graph = onnx.load(path, load_external_data=False).graph
        kinds = (onnx.TensorProto.UINT8, onnx.TensorProto.INT8)
        given = {value.name for value in graph.input if value.type.tensor_type.elem_type in kinds}
        assert {node.op_type for node in graph.node if given & set(node.input)} <= {"Cast"}, path


def test_tensorrt_reads_every_graph(graphs: list[Path]) -> None:
    read = reader()
    refused = {}
    for path in graphs:
        try:
            read(path)
        except Exception as error:  # ONNX Runtime's errors have no base class
            refused[path] = str(error)
    # int8 is for CPUs: TensorRT has no dynamic quantisation.
    assert not {path: error for path, error in refused.items() if "int8" not in path.name}


def reader() -> Callable[[Path], object]:
    """TensorRT's parser, from its own package or ONNX Runtime's provider; skips where both are missing."""
    if PROVIDER in onnxruntime.get_available_providers():
        try:
            ctypes.CDLL("libnvonnxparser.so.10")
            ctypes.CDLL("libcuda.so.1")
        except OSError as missing:
            pytest.skip(f"ONNX Runtime has TensorRT's provider, but {missing}")
        options = onnxruntime.SessionOptions()
        # Without this, nodes that TensorRT refuses fall back to the CPU silently.
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        return lambda path: onnxruntime.InferenceSession(path, options, providers=[PROVIDER])
    try:
        package = tensorrt()
    except NoTensorRT as missing:
        pytest.skip(f"{missing}; nor has ONNX Runtime {PROVIDER}")
    return lambda path: read_network(package, path)
