"""The Python-based ONNX Runtime backend refuses what the native one refuses, with its messages: a test per clause.

The messages are those of ``onnxruntime.cc``, ``onnxruntime_utils.cc`` and ``backend_common.cc`` of Triton 25.08.
"""

import runpy
from types import SimpleNamespace
from typing import Any

import onnxruntime
import pytest
from onnx import TensorProto, helper

import winnow.local.triton

RULE = runpy.run_path(str(winnow.local.triton.BACKENDS / "onnxruntime" / "native_rule.py"))
FLOAT = TensorProto.FLOAT
COMPLETE = (
    "an initial batch dimension because max_batch_size > 0 followed by the explicit tensor shape, making complete"
)


def graph(
    shape: list[Any], given: list[Any] | None = None, kind: int = FLOAT, constants: tuple[str, ...] = ()
) -> onnxruntime.InferenceSession:
    """A model from ``x`` to ``y``, with configuration defaults."""
    x, y = (helper.make_tensor_value_info(n, kind, s) for n, s in (("x", shape), ("y", given or shape)))
    defaults = [helper.make_tensor(name, FLOAT, [1], [0.0]) for name in constants]
    inputs = [x, *(helper.make_tensor_value_info(name, FLOAT, [1]) for name in constants)]
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    made = helper.make_graph(nodes, "same", inputs, [y], defaults)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def config(dims: list[int], out: list[int] | None = None, batch: int = 8, **more: Any) -> dict[str, Any]:
    x = {"name": "x", "data_type": "TYPE_FP32", "dims": dims}
    y = {"name": "y", "data_type": "TYPE_FP32", "dims": dims if out is None else out}
    return {"max_batch_size": batch, "input": [x], "output": [y], **more}


def refusal(configured: dict[str, Any], session: Any) -> str:
    with pytest.raises(ValueError, match=r"\w") as caught:
        RULE["validate"]("m", configured, session)
    return str(caught.value)


@pytest.mark.parametrize(
    ("shape", "configured"),
    [
        (["B", 3], config([3])),
        (["B", "N"], config([-1])),
        # The configuration may fix a dimension that is free in the graph.
        (["B", "N"], config([5], [-1])),
        (["B", 3, "N"], config([3, -1])),
        (["B"], config([])),
        ([2, 3], config([2, 3], batch=0)),
        (["A", 3], config([-1, 3], batch=0)),
    ],
)
def test_matching_configurations_are_accepted(shape: list[Any], configured: dict[str, Any]) -> None:
    RULE["validate"]("m", configured, graph(shape))


def test_an_input_may_be_open_only_where_the_graph_is() -> None:
    assert refusal(config([-1], [3]), graph(["B", 3])) == (
        "model 'm', tensor 'x': the model expects 2 dimensions (shape [-1,3]) but the model configuration specifies "
        f"2 dimensions ({COMPLETE} shape [-1,-1])"
    )
    assert "specifies 2 dimensions (an initial batch" in refusal(config([4], [3]), graph(["B", 3]))


def test_an_output_is_equal_to_the_graphs() -> None:
    assert refusal(config([3], [-1]), graph(["B", 3])).startswith("model 'm', tensor 'y': the model expects 2 dim")
    assert refusal(config([-1], [3]), graph(["B", "N"])) == (
        "model 'm', tensor 'y': the model expects 2 dimensions (shape [-1,-1]) but the model configuration specifies "
        f"2 dimensions ({COMPLETE} shape [-1,3])"
    )


def test_an_output_dimension_is_fixed_where_onnx_runtime_infers_it() -> None:
    """A name in the file does not make a dimension symbolic: ONNX Runtime's inferred shape decides."""
    session = graph(["B", 3], ["B", "K"])
    RULE["validate"]("m", config([3]), session)
    assert "tensor 'y'" in refusal(config([3], [-1]), session)


def test_the_number_of_dimensions_equals_the_graphs() -> None:
    assert refusal(config([3, 1], [3]), graph(["B", 3])) == (
        "model 'm', tensor 'x': the model expects 2 dimensions (shape [-1,3]) but the model configuration specifies "
        f"3 dimensions ({COMPLETE} shape [-1,3,1])"
    )
    assert "tensor 'y': the model expects 2 dimensions" in refusal(config([3], []), graph(["B", 3]))


def test_the_batch_is_symbolic() -> None:
    assert refusal(config([3]), graph([2, 3])) == (
        "model 'm', tensor 'x': for the model to support batching the shape should have at least 1 dimension and the "
        "first dimension must be -1; but shape expected by the model is [2,3]"
    )
    assert "tensor 'y': for the model to support batching" in refusal(config([3]), graph(["B", 3], [2, 3]))


def test_without_batching_the_shape_is_the_whole_shape() -> None:
    assert refusal(config([-1, 3], [2, 3], batch=0), graph([2, 3])) == (
        "model 'm', tensor 'x': the model expects 2 dimensions (shape [2,3]) but the model configuration specifies "
        "2 dimensions (shape [-1,3])"
    )
    assert "specifies 1 dimensions (shape [3])" in refusal(config([2, 3], [3], batch=0), graph([2, 3]))


def test_a_scalar_has_dimensions_of_one() -> None:
    session = graph([])
    RULE["validate"]("m", config([1], batch=0), session)
    assert refusal(config([1], [2], batch=0), session) == (
        "unable to load model 'm', scalar tensor 'y', should only provide 1 in the model configuration when the model "
        "doesn't support batching. Model configuration provided: [2]."
    )


def test_a_reshape_is_compared_with_the_graph() -> None:
    configured = config([1])
    configured["input"][0]["reshape"] = {"shape": []}
    configured["output"][0]["reshape"] = {"shape": []}
    RULE["validate"]("m", configured, graph(["B"]))
    configured["output"][0]["reshape"] = {"shape": [2]}
    assert "tensor 'y': the model expects 1 dimensions (shape [-1])" in refusal(configured, graph(["B"]))


def test_the_number_of_inputs_equals_the_graphs() -> None:
    configured = config([3])
    configured["input"] *= 2
    assert refusal(configured, graph(["B", 3])) == (
        "unable to load model 'm', configuration expects 2 inputs, model provides 1"
    )
    configured["input"] = []
    assert refusal(configured, graph(["B", 3])).endswith("configuration expects 0 inputs, model provides 1")


@pytest.mark.parametrize("kind", ["input", "output"])
def test_names_equal_the_graphs(kind: str) -> None:
    configured = config([3])
    configured[kind][0]["name"] = "z"
    allowed = {"input": "x", "output": "y"}[kind]
    assert refusal(configured, graph(["B", 3])) == f"unexpected inference {kind} 'z', allowed {kind}s are: {allowed}"


def test_outputs_may_be_left_out() -> None:
    RULE["validate"]("m", config([3]) | {"output": []}, graph(["B", 3]))


@pytest.mark.parametrize("kind", ["input", "output"])
def test_data_types_equal_the_graphs(kind: str) -> None:
    configured = config([3])
    tensor = configured[kind][0]
    tensor["data_type"] = "TYPE_INT32"
    assert refusal(configured, graph(["B", 3])) == (
        f"unable to load model 'm', configuration expects datatype TYPE_INT32 for {kind} '{tensor['name']}', "
        "model provides TYPE_FP32"
    )
    tensor["data_type"] = "TYPE_BF16"
    assert refusal(configured, graph(["B", 3])) == (
        f"unsupported datatype TYPE_BF16 for {kind} '{tensor['name']}' for model 'm'"
    )


@pytest.mark.parametrize(
    ("declared", "kind"),
    [
        *(("TYPE_" + name, getattr(TensorProto, name)) for name in ("BOOL", "UINT8", "INT8", "INT32", "INT64")),
        *(("TYPE_" + name, getattr(TensorProto, name)) for name in ("UINT16", "UINT32", "UINT64", "INT16", "STRING")),
        ("TYPE_FP16", TensorProto.FLOAT16),
        ("TYPE_FP32", TensorProto.FLOAT),
        ("TYPE_FP64", TensorProto.DOUBLE),
    ],
)
def test_every_data_type_equals_that_of_the_native_backend(declared: str, kind: int) -> None:
    configured = config([3])
    configured["input"][0]["data_type"] = configured["output"][0]["data_type"] = declared
    RULE["validate"]("m", configured, graph(["B", 3], kind=kind))
    other = "TYPE_FP16" if declared == "TYPE_FP32" else "TYPE_FP32"
    configured["input"][0]["data_type"] = other
    provided = "TYPE_BYTES" if declared == "TYPE_STRING" else declared
    assert refusal(configured, graph(["B", 3], kind=kind)).endswith(
        f"configuration expects datatype {other} for input 'x', model provides {provided}"
    )


def test_an_optional_input_needs_a_model_without_batches() -> None:
    session = graph([1], constants=("bias",))
    bias = {"name": "bias", "data_type": "TYPE_FP32", "dims": [1], "optional": True}
    configured = config([1], batch=0)
    configured["input"].append(bias)
    RULE["validate"]("m", configured, session)
    assert refusal(configured | {"max_batch_size": 8}, graph(["B", 1], constants=("bias",))) == (
        "unable to load model 'm', optional input 'bias' is not supported for models that support batching"
    )


@pytest.mark.parametrize(
    ("given", "kind"),
    [("seq(tensor(float))", "SEQUENCE"), ("map(int64,tensor(float))", "MAP"), ("optional(tensor(float))", "UNKNOWN")],
)
def test_only_tensors_are_served(given: str, kind: str) -> None:
    node = SimpleNamespace(name="x", type=given, shape=[])
    session = SimpleNamespace(get_inputs=lambda: [node], get_outputs=list, get_overridable_initializers=list)
    assert refusal(config([3]), session) == (
        f"Unsupported ONNX Type 'ONNX_TYPE_{kind}' for I/O 'x', expected 'ONNX_TYPE_TENSOR'."
    )


@pytest.mark.parametrize("feature", ["sequence_batching", "batch_input", "batch_output"])
def test_features_of_the_native_backend_only_are_refused(feature: str) -> None:
    assert f"{feature} is not served" in refusal(config([3], **{feature: [{}]}), graph(["B", 3]))
    RULE["validate"]("m", config([3], **{feature: []}), graph(["B", 3]))


def test_a_ragged_input_is_refused() -> None:
    configured = config([3])
    configured["input"][0]["allow_ragged_batch"] = True
    assert "ragged input 'x' is not served" in refusal(configured, graph(["B", 3]))
