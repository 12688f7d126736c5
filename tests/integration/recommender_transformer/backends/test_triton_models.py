"""The client of the models with a real Triton that serves two versions of them."""

import asyncio
from pathlib import Path
from typing import Any

import grpc.aio
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from recommender_transformer.backends.triton import TritonModels, address_of, check_versions
from winnow.encoders.inputs import Modality
from winnow.errors import ReleaseMismatch, WinnowError

INT, FLOAT, BYTE, LONG = TensorProto.INT32, TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT64
USER = {
    "history_items": (INT, 1),
    "history_events": (INT, 1),
    "history_gaps": (FLOAT, 1),
    "user_categorical": (INT, 1),
    "user_numeric": (FLOAT, 1),
}
CANDIDATES = {"candidate_items": (INT, 1), "candidate_categorical": (INT, 2), "candidate_numeric": (FLOAT, 2)}


def save(
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


@pytest.fixture(scope="module")
def address(triton: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    repository = tmp_path_factory.mktemp("pinned")
    for version in (1, 2):
        nodes = [
            helper.make_node("Identity", ["history_items"], ["candidates"]),
            helper.make_node("Add", ["history_gaps", "version"], ["candidate_scores"]),
            helper.make_node("Identity", ["user_numeric"], ["user_vector"]),
        ]
        outputs = {"candidates": (INT, 1), "candidate_scores": (FLOAT, 1), "user_vector": (FLOAT, 1)}
        save(repository, "retriever", version, nodes, USER, outputs)
    nodes = [
        helper.make_node("ReduceSum", ["candidate_numeric", "last"], ["scores"], keepdims=0),
        helper.make_node("Identity", ["candidate_numeric"], ["probabilities"]),
    ]
    save(repository, "ranker", 1, nodes, USER | CANDIDATES, {"probabilities": (FLOAT, 2), "scores": (FLOAT, 1)})
    for modality, kind, rank in (("image", BYTE, 3), ("text", LONG, 1), ("audio", FLOAT, 1)):
        name = {"image": "pixels", "text": "tokens", "audio": "samples"}[modality]
        axes = [
            helper.make_node("Flatten", [name], ["flat"]),
            helper.make_node("Cast", ["flat"], ["embedding"], to=FLOAT),
        ]
        save(repository, f"{modality}_encoder", 1, axes, {name: (kind, rank)}, {"embedding": (FLOAT, 1)})
    nodes = [
        helper.make_node("Identity", ["embeddings"], ["item_vector"]),
        helper.make_node("Identity", ["item_categorical"], ["candidates"]),
        helper.make_node("Identity", ["item_numeric"], ["candidate_scores"]),
    ]
    inputs = {"item_categorical": (INT, 1), "item_numeric": (FLOAT, 1), "embeddings": (FLOAT, 1)}
    outputs = {"item_vector": (FLOAT, 1), "candidates": (INT, 1), "candidate_scores": (FLOAT, 1)}
    save(repository, "item_tower", 1, nodes, inputs, outputs)
    return triton(repository)


def user() -> dict[str, np.ndarray[Any, Any]]:
    return {
        "history_items": np.array([[0, 3, 9]], np.int32),
        "history_events": np.array([[0, 1, 1]], np.int32),
        "history_gaps": np.array([[0, 0, 0.5]], np.float32),
        "user_categorical": np.zeros((1, 1), np.int32),
        "user_numeric": np.zeros((1, 1), np.float32),
    }


@pytest.mark.parametrize("version", [1, 2])
def test_the_pinned_version_answers(address: str, version: int) -> None:
    async def ask() -> Any:
        models = TritonModels(address, version)
        try:
            return await models.retrieve(user())
        finally:
            await models.close()

    retrieved = asyncio.run(ask())
    assert (retrieved.candidates.dtype, retrieved.candidates.tolist()) == (np.int32, [[0, 3, 9]])
    assert retrieved.scores.tolist() == [[version, version, version + 0.5]]


def test_ranking_and_an_absent_version(address: str) -> None:
    candidates = {
        "candidate_items": np.array([[5, 0]], np.int32),
        "candidate_categorical": np.zeros((1, 2, 3), np.int32),
        "candidate_numeric": np.array([[[0.25, 0.5], [0, 0]]], np.float32),
    }

    async def ask(version: int) -> Any:
        models = TritonModels(address, version)
        try:
            return await models.rank(user() | candidates)
        finally:
            await models.close()

    ranked = asyncio.run(ask(1))
    assert ranked.probabilities.tolist() == [[[0.25, 0.5], [0.0, 0.0]]]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        asyncio.run(ask(2))
    assert caught.value.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAVAILABLE)


def test_encoders_and_item_tower(address: str) -> None:
    contents: dict[Modality, np.ndarray[Any, Any]] = {
        "image": np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3),
        "text": np.array([[3, 1, 2]], np.int64),
        "audio": np.array([[0.5, -0.5]], np.float32),
    }
    item = {
        "item_categorical": np.array([[7, 8]], np.int32),
        "item_numeric": np.array([[0.5, 0.25]], np.float32),
        "embeddings": np.array([[0.0, 1.0, 0.0]], np.float32),
    }

    async def ask() -> tuple[list[Any], Any]:
        models = TritonModels(address, 1)
        try:
            return [await models.encode(name, content) for name, content in contents.items()], await models.tower(item)
        finally:
            await models.close()

    embeddings, placed = asyncio.run(ask())
    for given, content in zip(embeddings, contents.values(), strict=True):
        assert given.dtype == np.float32
        np.testing.assert_array_equal(given, content.reshape(1, -1))
    assert placed.item_vector.tolist() == [[0.0, 1.0, 0.0]]
    assert (placed.candidates.dtype, placed.candidates.tolist()) == (np.int32, [[7, 8]])
    assert placed.scores.tolist() == [[0.5, 0.25]]


def test_start_up_names_the_versions_that_triton_serves(address: str) -> None:
    check_versions(address, 1, ("retriever", "ranker"))
    with pytest.raises(ReleaseMismatch, match=r"pinned to release 2, but Triton at \S+ serves ranker in version 1"):
        check_versions(address, 2, ("retriever", "ranker"))
    with pytest.raises(ReleaseMismatch, match=r"pinned to release 7, .* serves retriever in version 1, 2"):
        check_versions(address, 7, ("retriever", "ranker"))
    with pytest.raises(WinnowError, match=r"Triton does not answer at 127\.0\.0\.1:1"):
        check_versions("127.0.0.1:1", 1, ("retriever",), timeout_s=0.3)


def test_a_host_without_a_port_is_refused() -> None:
    assert address_of("recommender-predictor.shop") == "recommender-predictor.shop:80"
    assert address_of("127.0.0.1:8001") == "127.0.0.1:8001"


def test_concurrent_calls_are_joined_and_get_what_lone_calls_get(address: str) -> None:
    """Lists of different lengths are padded to one batch; a call that Triton refuses is refused alone."""

    def inputs(count: int) -> dict[str, np.ndarray[Any, Any]]:
        numbers = np.arange(count * 2, dtype=np.float32).reshape(1, count, 2) + count
        return user() | {
            "candidate_items": np.zeros((1, count), np.int32),
            "candidate_categorical": np.zeros((1, count, 1), np.int32),
            "candidate_numeric": numbers,
        }

    refused = inputs(3) | {"candidate_items": np.zeros((1, 3), np.int64)}
    lists = [inputs(count) for count in (2, 5, 3, 1)]

    async def ask() -> tuple[list[Any], list[Any], Any]:
        models = TritonModels(address, 1)
        sent: list[bytes] = []
        infer = models._infer

        def recorded(request: bytes, timeout: float) -> Any:
            sent.append(request)
            return infer(request, timeout=timeout)

        models._infer = recorded
        try:
            alone = [await models.rank(each) for each in lists]
            sent.clear()
            together = await asyncio.gather(*map(models.rank, lists))
            assert len(sent) == 1
            users = await asyncio.gather(*(models.retrieve(user()) for _ in range(5)))
            assert [each.candidates.tolist() for each in users] == [[[0, 3, 9]]] * 5
            failing = await asyncio.gather(*map(models.rank, [*lists, refused]), return_exceptions=True)
            return alone, together, failing
        finally:
            await models.close()

    alone, together, failing = asyncio.run(ask())
    for one, other, beside in zip(alone, together, failing[:-1], strict=True):
        assert one.probabilities.shape == other.probabilities.shape == beside.probabilities.shape
        assert (one.probabilities == other.probabilities).all()
        assert (one.probabilities == beside.probabilities).all()
    assert isinstance(failing[-1], grpc.aio.AioRpcError)
    assert failing[-1].code() == grpc.StatusCode.INVALID_ARGUMENT
