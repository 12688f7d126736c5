"""A model repository: graphs with the signatures' names and types that return what they get."""

from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

INT, FLOAT, BYTE, LONG = TensorProto.INT32, TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT64
_USER = {
    "history_items": (INT, 1),
    "history_events": (INT, 1),
    "history_gaps": (FLOAT, 1),
    "user_categorical": (INT, 1),
    "user_numeric": (FLOAT, 1),
}
_CANDIDATES = {"candidate_items": (INT, 1), "candidate_categorical": (INT, 2), "candidate_numeric": (FLOAT, 2)}


@pytest.fixture(scope="package")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Versions 1 and 2 of the retriever, whose scores contain the version, and version 1 of all others."""
    repository = tmp_path_factory.mktemp("pinned")
    for version in (1, 2):
        nodes = [
            helper.make_node("Identity", ["history_items"], ["candidates"]),
            helper.make_node("Add", ["history_gaps", "version"], ["candidate_scores"]),
            helper.make_node("Identity", ["user_numeric"], ["user_vector"]),
        ]
        outputs = {"candidates": (INT, 1), "candidate_scores": (FLOAT, 1), "user_vector": (FLOAT, 1)}
        _save(repository, "retriever", version, nodes, _USER, outputs)
    nodes = [helper.make_node("Identity", ["user_numeric"], ["user_vector"])]
    _save(repository, "user_tower", 1, nodes, _USER, {"user_vector": (FLOAT, 1)})
    nodes = [
        helper.make_node("ReduceSum", ["candidate_numeric", "last"], ["scores"], keepdims=0),
        helper.make_node("Identity", ["candidate_numeric"], ["probabilities"]),
    ]
    _save(repository, "ranker", 1, nodes, _USER | _CANDIDATES, {"probabilities": (FLOAT, 2), "scores": (FLOAT, 1)})
    for modality, kind, rank in (("image", BYTE, 3), ("text", LONG, 1), ("audio", FLOAT, 1)):
        name = {"image": "pixels", "text": "tokens", "audio": "samples"}[modality]
        axes = [
            helper.make_node("Flatten", [name], ["flat"]),
            helper.make_node("Cast", ["flat"], ["embedding"], to=FLOAT),
        ]
        _save(repository, f"{modality}_encoder", 1, axes, {name: (kind, rank)}, {"embedding": (FLOAT, 1)})
    nodes = [
        helper.make_node("Identity", ["embeddings"], ["item_vector"]),
        helper.make_node("Identity", ["item_categorical"], ["candidates"]),
        helper.make_node("Identity", ["item_numeric"], ["candidate_scores"]),
    ]
    inputs = {"item_categorical": (INT, 1), "item_numeric": (FLOAT, 1), "embeddings": (FLOAT, 1)}
    outputs = {"item_vector": (FLOAT, 1), "candidates": (INT, 1), "candidate_scores": (FLOAT, 1)}
    _save(repository, "item_tower", 1, nodes, inputs, outputs)
    return repository


def _save(
    repository: Path, name: str, version: int, nodes: list[Any], inputs: dict[str, Any], outputs: dict[str, Any]
) -> None:
    """A model with the signature's names and types: ``{name: (type, dimensions without the batch)}``."""

    def values(tensors: dict[str, Any]) -> list[Any]:
        return [
            helper.make_tensor_value_info(tensor, kind, ["B", *(f"{tensor}_{axis}" for axis in range(rank))])
            for tensor, (kind, rank) in tensors.items()
        ]

    def described(tensors: dict[str, Any]) -> str:
        kinds = {INT: "TYPE_INT32", FLOAT: "TYPE_FP32", BYTE: "TYPE_UINT8", LONG: "TYPE_INT64"}
        return ", ".join(
            f'{{name: "{tensor}" data_type: {kinds[kind]} dims: [{", ".join(["-1"] * rank)}]}}'
            for tensor, (kind, rank) in tensors.items()
        )

    constants = [
        helper.make_tensor("last", TensorProto.INT64, [1], [-1]),
        helper.make_tensor("version", FLOAT, [], [float(version)]),
    ]
    graph = helper.make_graph(nodes, name, values(inputs), values(outputs), constants)
    folder = repository / name / str(version)
    folder.mkdir(parents=True)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), folder / "model.onnx"
    )
    (repository / name / "config.pbtxt").write_text(
        f'name: "{name}" backend: "onnxruntime" max_batch_size: 8 version_policy {{ all {{}} }}\n'
        f"input [{described(inputs)}] output [{described(outputs)}]\n"
    )
