"""The Python-based ONNX Runtime backend, in a real Triton."""

import os
import stat
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
import tritonclient.grpc as grpcclient
from onnx import TensorProto, helper
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from export.triton.config import config_text
from export.triton.shapes import read_shapes
from winnow.errors import WinnowError
from winnow.local import triton as local_triton
from winnow.local.infrastructure import infrastructure
from winnow.local.processes import ProcessFailed
from winnow.signatures import SIGNATURES

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
TYPES = {
    "bool": TensorProto.BOOL,
    "uint8": TensorProto.UINT8,
    "int8": TensorProto.INT8,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "fp16": TensorProto.FLOAT16,
    "fp32": TensorProto.FLOAT,
}
USER = {
    "history_items": [50],
    "history_events": [50],
    "history_gaps": [50],
    "user_categorical": [2],
    "user_numeric": [1],
}


def save(repository, name, version, nodes, inputs, outputs, constants=(), batch=64, delay_ms=0, declared=None):
    """Write a model: inputs and outputs are ``{name: (element type, columns)}``, all with a batch dimension.

    As in a release, the config leaves open what the graph leaves open.
    """

    def values(tensors):
        return [helper.make_tensor_value_info(n, kind, ["B", *columns]) for n, (kind, columns) in tensors.items()]

    graph = helper.make_graph(nodes, name, values(inputs), values(outputs), list(constants))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    folder = repository / name / str(version)
    folder.mkdir(parents=True)
    onnx.save(model, folder / "model.onnx")
    kinds = {TYPES[k]: f"TYPE_{k.upper()}" for k in TYPES}

    def described(tensors):
        return ", ".join(
            f'{{name: "{n}" data_type: {(declared or {}).get(n, kinds[kind])} '
            f"dims: [{', '.join(str(c) if isinstance(c, int) else '-1' for c in columns)}]}}"
            for n, (kind, columns) in tensors.items()
        )

    (repository / name / "config.pbtxt").write_text(
        f'name: "{name}" backend: "onnxruntime" max_batch_size: {batch} version_policy {{ all {{}} }}\n'
        f"input [{described(inputs)}] output [{described(outputs)}]\n"
        f"dynamic_batching {{ max_queue_delay_microseconds: {delay_ms * 1000} }}\n"
    )


def save_pair(repository, version, operation):
    node = helper.make_node(operation, ["a", "b"], ["result"])
    save(repository, "pair", version, [node], {"a": (FLOAT, ["N"]), "b": (FLOAT, ["N"])}, {"result": (FLOAT, ["N"])})


@pytest.fixture(scope="module")
def address(triton, tmp_path_factory):
    repository = tmp_path_factory.mktemp("models")
    save_pair(repository, 1, "Add")
    save_pair(repository, 2, "Sub")
    weights = helper.make_tensor("weights", FLOAT, [3, 2], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    product = helper.make_node("MatMul", ["x", "weights"], ["y"])
    save(repository, "product", 1, [product], {"x": (FLOAT, [3])}, {"y": (FLOAT, [2])}, [weights], delay_ms=200)
    table = helper.make_tensor("table", FLOAT, [4], [10.0, 11.0, 12.0, 13.0])
    lookup = helper.make_node("Gather", ["table", "index"], ["value"])
    save(repository, "lookup", 1, [lookup], {"index": (INT64, [1])}, {"value": (FLOAT, [1])}, [table], delay_ms=200)
    save(
        repository,
        "types",
        1,
        [helper.make_node("Identity", [f"{name}_in"], [f"{name}_out"]) for name in TYPES],
        {f"{name}_in": (kind, ["N"]) for name, kind in TYPES.items()},
        {f"{name}_out": (kind, ["N"]) for name, kind in TYPES.items()},
    )
    return triton(repository)


@pytest.fixture(scope="module")
def client(address):
    with grpcclient.InferenceServerClient(address) as client:
        yield client


def infer(client, model, version="1", outputs=None, **tensors):
    inputs = []
    for name, array in tensors.items():
        tensor = grpcclient.InferInput(name, array.shape, np_to_triton_dtype(array.dtype))
        inputs.append(tensor.set_data_from_numpy(array))
    requested = outputs and [grpcclient.InferRequestedOutput(name) for name in outputs]
    return client.infer(model, inputs, model_version=version, outputs=requested, client_timeout=20.0)


def at_once(calls):
    """Run all calls concurrently; exceptions are returned as results."""

    def attempt(call):
        try:
            return call()
        except InferenceServerException as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(attempt, calls))


def executions(client, model):
    statistics = client.get_inference_statistics(model, "1", as_json=True)["model_stats"][0]
    return int(statistics.get("inference_count", 0)), int(statistics.get("execution_count", 0))


def test_versions_are_served_side_by_side(client):
    a, b = np.array([[1.0, 2.0]], np.float32), np.array([[10.0, 20.0]], np.float32)
    np.testing.assert_array_equal(infer(client, "pair", "1", a=a, b=b).as_numpy("result"), a + b)
    np.testing.assert_array_equal(infer(client, "pair", "2", a=a, b=b).as_numpy("result"), a - b)


def test_an_absent_version_is_not_found(client):
    row = np.zeros((1, 2), np.float32)
    with pytest.raises(InferenceServerException) as caught:
        infer(client, "pair", "3", a=row, b=row)
    assert caught.value.status() == "StatusCode.NOT_FOUND"


def test_concurrent_requests_are_batched_and_each_gets_its_own_rows(client):
    before = executions(client, "product")
    weights = np.arange(1.0, 7.0, dtype=np.float32).reshape(3, 2)
    batches = [np.full((1 + i % 3, 3), i, np.float32) for i in range(12)]
    answers = at_once([lambda x=x: infer(client, "product", x=x).as_numpy("y") for x in batches])
    for x, answer in zip(batches, answers, strict=True):
        np.testing.assert_allclose(answer, x @ weights)
    inferences, runs = np.subtract(executions(client, "product"), before)
    assert inferences == sum(len(x) for x in batches)
    assert runs <= 3


def test_a_wrong_shape_is_an_error_of_that_request(client):
    good, bad = np.ones((1, 3), np.float32), np.ones((1, 5), np.float32)
    first, error, last = at_once([lambda x=x: infer(client, "product", x=x) for x in (good, bad, good)])
    assert error.status() == "StatusCode.INVALID_ARGUMENT"
    np.testing.assert_allclose(first.as_numpy("y"), [[9.0, 12.0]])
    np.testing.assert_allclose(last.as_numpy("y"), [[9.0, 12.0]])


def test_a_bad_value_in_a_joined_batch_fails_alone(client):
    indices = [0, 1, 99, 3]
    before = executions(client, "lookup")
    answers = at_once([lambda i=i: infer(client, "lookup", index=np.array([[i]], np.int64)) for i in indices])
    assert isinstance(answers[2], InferenceServerException)
    assert "out of data bounds" in answers[2].message()
    for position in (0, 1, 3):
        np.testing.assert_array_equal(answers[position].as_numpy("value"), [[10.0 + indices[position]]])
    # The bad request was batched with others: otherwise this test would show nothing.
    assert np.subtract(executions(client, "lookup"), before)[1] < len(indices)


def test_every_type_passes_unchanged_and_only_requested_outputs_come_back(client):
    arrays = {
        "bool_in": np.array([[True, False]]),
        "uint8_in": np.array([[0, 255]], np.uint8),
        "int8_in": np.array([[-128, 127]], np.int8),
        "int32_in": np.array([[-(2**31), 2**31 - 1]], np.int32),
        "int64_in": np.array([[-(2**63), 2**63 - 1]], np.int64),
        "fp16_in": np.array([[0.5, -65504]], np.float16),
        "fp32_in": np.array([[1e-30, 3.4e38]], np.float32),
    }
    answer = infer(client, "types", **arrays)
    for name, array in arrays.items():
        returned = answer.as_numpy(name.replace("_in", "_out"))
        assert returned.dtype == array.dtype
        np.testing.assert_array_equal(returned, array)
    some = infer(client, "types", outputs=["int32_out"], **arrays)
    assert [output.name for output in some.get_response().outputs] == ["int32_out"]


def test_a_running_triton_must_serve_the_needed_versions(address, tmp_path):
    local_triton.check(address, tmp_path, {"pair": [1, 2]})
    with pytest.raises(WinnowError, match="does not serve pair version 7, absent version 1"):
        local_triton.check(address, tmp_path, {"pair": [1, 7], "absent": [1]})
    with pytest.raises(WinnowError, match=r"TRITON_URL names 127.0.0.1:1 "):
        local_triton.check("127.0.0.1:1", tmp_path, {"pair": [1]})


def test_a_config_that_contradicts_its_graph_is_an_error_at_the_start(tmp_path):
    node = helper.make_node("Identity", ["x"], ["y"])
    tensors = {"inputs": {"x": (FLOAT, ["N"])}, "outputs": {"y": (FLOAT, ["N"])}}
    save(tmp_path, "wrong", 1, [node], **tensors, declared={"y": "TYPE_INT32"})
    native = "configuration expects datatype TYPE_INT32 for output 'y', model provides TYPE_FP32"
    with pytest.raises(ProcessFailed, match=native), infrastructure(tmp_path, {"wrong": [1]}):
        pass


SHAPES = {
    "retriever": (USER, {"candidates": [400], "candidate_scores": [400], "user_vector": [64]}),
    "user_tower": (USER, {"user_vector": [64]}),
    "ranker": (
        USER
        | {"candidate_items": ["N"], "candidate_categorical": ["N", 2], "candidate_numeric": ["N", 16]}
        | {"fresh_vectors": ["F", 64]},
        {"probabilities": ["N", 2], "scores": ["N"]},
    ),
    "item_tower": (
        {"item_categorical": [2], "item_numeric": [1], "embeddings": [192]},
        {"item_vector": [64], "candidates": [400], "candidate_scores": [400]},
    ),
    "image_encoder": ({"pixels": [64, 64, 3]}, {"embedding": [64]}),
    "text_encoder": ({"tokens": [32]}, {"embedding": [64]}),
    "audio_encoder": ({"samples": [8000]}, {"embedding": [64]}),
}


@pytest.mark.parametrize("signature", SIGNATURES, ids=lambda signature: signature.name)
def test_a_configuration_without_dimensions_is_refused_as_on_a_gpu_node(signature, tmp_path):
    """Each model's tensors with the sizes of the demo's release, as a graph of constants.

    The templates have no dimensions: the native backend refuses each of them, and so must this one.
    """
    kinds = {spec.name: TYPES[{"FP32": "fp32"}.get(spec.dtype, spec.dtype.lower())] for spec in tensors_of(signature)}
    inputs, outputs = ({n: (kinds[n], dims) for n, dims in shapes.items()} for shapes in SHAPES[signature.name])
    first = signature.inputs[0].name
    nodes = [helper.make_node("Shape", [first], ["batch"], start=0, end=1)]
    constants = []
    for name, (kind, dims) in outputs.items():
        open_ = [dim for dim in dims if isinstance(dim, str)]
        nodes += [helper.make_node("Shape", ["candidate_items"], [f"{name}.open"], start=1, end=2)] if open_ else []
        fixed = [dim for dim in dims if isinstance(dim, int)]
        constants.append(helper.make_tensor(f"{name}.fixed", INT64, [len(fixed)], fixed))
        parts = ["batch", *([f"{name}.open"] if open_ else []), f"{name}.fixed"]
        nodes.append(helper.make_node("Concat", parts, [f"{name}.shape"], axis=0))
        zero = helper.make_tensor("value", kind, [1], [0])
        nodes.append(helper.make_node("ConstantOfShape", [f"{name}.shape"], [name], value=zero))
    save(tmp_path, signature.name, 1, nodes, inputs, outputs, constants)
    config = tmp_path / signature.name / "config.pbtxt"
    config.write_text(config_text(signature, read_shapes(config.parent / "1" / "model.onnx")))
    with infrastructure(tmp_path, {signature.name: [1]}):
        pass
    config.write_text(config_text(signature))
    size = len(SHAPES[signature.name][0][first]) + 1
    native = (
        rf"model '{signature.name}', tensor '{first}': the model expects {size} dimensions \(shape \[-1,[\d,]+\]\) but "
        rf"the model configuration specifies {size} dimensions \(an initial batch dimension because max_batch_size > 0 "
        r"followed by the explicit tensor shape, making complete shape \[-1,-1"
    )
    with pytest.raises(ProcessFailed, match=native), infrastructure(tmp_path, {signature.name: [1]}):
        pass


def tensors_of(signature):
    return (*signature.inputs, *signature.outputs)


def test_only_the_given_versions_load_and_no_file_is_left(tmp_path):
    save_pair(tmp_path / "models", 1, "Add")
    save_pair(tmp_path / "models", 2, "Sub")
    assert local_triton.models_in(tmp_path / "models") == {"pair": [1, 2]}
    models = {"pair": [2]}
    with infrastructure(tmp_path / "models", models, folder=tmp_path) as parts:
        with grpcclient.InferenceServerClient(parts.triton) as client:
            assert client.is_model_ready("pair", "2")
            assert not client.is_model_ready("pair", "1")
        groups = [process.pid for process in parts.processes]
        assert all(members(group) for group in groups)
        # ONNX Runtime's telemetry database would be open in the process that runs the model.
        stub = next(pid for pid in members(groups[1]) if "backend_stub" in Path(f"/proc/{pid}/cmdline").read_text())
        opened = [os.readlink(descriptor) for descriptor in Path(f"/proc/{stub}/fd").iterdir()]
        assert not [path for path in opened if ".onnxruntime" in path]
        maps = [
            line.split() for pid in members(groups[1]) for line in Path(f"/proc/{pid}/maps").read_text().splitlines()
        ]
        regions = {Path(line[-1]) for line in maps if line[-1].startswith("/dev/shm/")}
        assert regions
        assert all(region.exists() for region in regions)
    assert not any(members(group) for group in groups)
    assert not any(region.exists() for region in regions)


def test_paths_that_a_shell_would_split_are_served(tmp_path, monkeypatch):
    """A home and Triton's environment in a checkout under such a folder; temporary folders keep plain names."""
    odd = tmp_path / "My Prøjects 'n' $HOME"
    save_pair(odd / "models", 1, "Add")
    (odd / ".venv-triton").symlink_to(local_triton.ENVIRONMENT)
    monkeypatch.setattr(local_triton, "ENVIRONMENT", odd / ".venv-triton")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    row = np.ones((1, 2), np.float32)
    with infrastructure(odd / "models", {"pair": [1]}, folder=odd) as parts:
        [plain] = (tmp_path / "temporary").iterdir()
        assert stat.S_IMODE(plain.stat().st_mode) == 0o700
        with grpcclient.InferenceServerClient(parts.triton) as client:
            np.testing.assert_array_equal(infer(client, "pair", a=row, b=row).as_numpy("result"), row + row)
    assert not list((tmp_path / "temporary").iterdir())
    monkeypatch.setattr(tempfile, "tempdir", str(odd))
    with (
        pytest.raises(WinnowError, match="set WINNOW_HOME or TMPDIR to such a folder"),
        infrastructure(odd / "models", {"pair": [1]}, folder=odd),
    ):
        pass


def members(group):
    """Processes of a group that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, process_group, *_ = path.read_text().rpartition(") ")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(process_group) == group and state != "Z":
            found.append(int(path.parent.name))
    return found
