"""Graphs share one file of item vectors, which ONNX Runtime maps; equal scores are listed by index."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from export.graphs.session import open_session
from export.repository import export_model
from export.triton.version import MODEL_FILE
from winnow.models.scan import Precision, scan_of
from winnow.models.served import ServedItemTower, ServedRetriever
from winnow.models.towers import Shapes
from winnow.ranking.context import HIDDEN
from winnow.settings.training import RetrieverSettings
from winnow.signatures import ITEM_TOWER, RETRIEVER, ModelSignature
from winnow.training.retriever.trained import build_towers

ITEMS, WIDTH, LENGTH, COUNT = 30_000, 16, 12, 50
SHAPES = Shapes(
    items=ITEMS,
    events=2,
    item_cardinalities=(5,),
    item_tables=(0,),
    item_numerics=(0,),
    user_cardinalities=(),
    user_tables=(),
    user_numerics=0,
    modalities={},
)
SETTINGS = RetrieverSettings(dimension=WIDTH, layers=1, history_length=LENGTH, dropout=0.0)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both graphs with an index over vectors of which each occurs twice, 15,000 items apart."""
    folder = tmp_path_factory.mktemp("shared")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        item_tower, user_tower = build_towers(SHAPES, SETTINGS)
        half = torch.nn.functional.normalize(torch.randn(ITEMS // 2, WIDTH), dim=1)
        history = torch.randint(1, ITEMS, (4, LENGTH), dtype=torch.int32)
    vectors = torch.cat([torch.zeros(1, WIDTH), half, half])
    np.save(folder / "item_vectors.npy", vectors.numpy())
    shared = {"item_vectors": folder / "item_vectors.npy"}
    user = {
        "history_items": history,
        "history_events": torch.ones_like(history),
        "history_gaps": torch.zeros(4, LENGTH),
        "user_categorical": torch.zeros(4, 1, dtype=torch.int32),
        "user_numeric": torch.zeros(4, 1),
    }
    item = {
        "item_categorical": torch.tensor([[1], [2]], dtype=torch.int32),
        "item_numeric": torch.tensor([[0.5], [-1.0]]),
        "embeddings": torch.zeros(2, 1),
    }
    retriever = ServedRetriever(user_tower, vectors, COUNT, True)
    export_model(retriever, RETRIEVER, 1, folder / "models", user, 1e-3, shared)
    export_model(
        ServedItemTower(item_tower, SHAPES, vectors, COUNT), ITEM_TOWER, 1, folder / "models", item, 1e-3, shared
    )
    return folder


@pytest.mark.parametrize("signature", [RETRIEVER, ITEM_TOWER], ids=lambda signature: signature.name)
def test_a_graph_names_the_file_instead_of_holding_a_copy(repository: Path, signature: ModelSignature) -> None:
    folder = repository / "models" / signature.name / "1"
    shared = folder / "item_vectors.npy"
    assert shared.samefile(repository / "item_vectors.npy")
    assert (folder / MODEL_FILE).stat().st_size < shared.stat().st_size / 4
    graph = onnx.load(folder / MODEL_FILE, load_external_data=False).graph
    external = {
        tensor.name: {entry.key: entry.value for entry in tensor.external_data}
        for tensor in graph.initializer
        if tensor.external_data
    }
    assert {entry["location"] for entry in external.values()} == {"item_vectors.npy"}
    # Of a transposed constant ONNX Runtime would hold a copy.
    readers = [node.op_type for node in graph.node if external.keys() & set(node.input)]
    assert sorted(readers) == (["Gather", "Gemm", "Gemm"] if signature is RETRIEVER else ["Gemm", "Gemm"])
    # The parts that a product reads are all rows.
    assert sum(int(entry["length"]) for entry in external.values()) % (4 * WIDTH * (ITEMS + 1)) == 0


@pytest.mark.parametrize("signature", [RETRIEVER, ITEM_TOWER], ids=lambda signature: signature.name)
def test_no_runtime_may_pack_or_fold_shared_vectors(repository: Path, signature: ModelSignature) -> None:
    path = repository / "models" / signature.name / "1" / MODEL_FILE
    graph = onnx.load(path, load_external_data=False).graph
    session = open_session(path)
    shared = {tensor.name for tensor in graph.initializer if tensor.external_data}
    assert {value.name for value in session.get_overridable_initializers()} == shared
    assert [value.name for value in session.get_inputs()] == [spec.name for spec in signature.inputs]


def test_lists_are_those_of_a_full_sort_and_equal_scores_are_in_order(repository: Path) -> None:
    vectors = np.load(repository / "item_vectors.npy")
    session = open_session(repository / "models" / "retriever" / "1" / MODEL_FILE)
    random = np.random.default_rng(1)
    history = random.integers(1, ITEMS, (3, LENGTH)).astype(np.int32)
    answer = session.run(
        None,
        {
            "history_items": history,
            "history_events": np.ones_like(history),
            "history_gaps": np.zeros((3, LENGTH), np.float32),
            "user_categorical": np.zeros((3, 1), np.int32),
            "user_numeric": np.zeros((3, 1), np.float32),
        },
    )
    candidates, scores, user = answer
    expected = user @ vectors.T
    expected[:, 0] = HIDDEN
    for row, seen, own, found in zip(candidates, history, expected, scores, strict=True):
        own[seen] = HIDDEN
        np.testing.assert_allclose(found, np.sort(own)[::-1][:COUNT], rtol=1e-5)
        np.testing.assert_allclose(found, own[row], rtol=1e-5)
        twins = (row[:-1] + ITEMS // 2 == row[1:]) | (row[1:] + ITEMS // 2 == row[:-1])
        assert twins.sum() > COUNT // 3
        assert (row[:-1] < row[1:])[twins].all()


def test_a_graph_loads_where_the_file_is_a_copy(repository: Path, tmp_path: Path) -> None:
    folder = repository / "models" / "item_tower" / "1"
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    inputs = {
        "item_categorical": np.array([[1]], np.int32),
        "item_numeric": np.array([[0.5]], np.float32),
        "embeddings": np.zeros((1, 1), np.float32),
    }
    one, other = (open_session(place / MODEL_FILE).run(None, inputs) for place in (folder, tmp_path))
    for linked, copied in zip(one, other, strict=True):
        np.testing.assert_array_equal(linked, copied)


@pytest.mark.parametrize(("precision", "width"), [("fp16", 16), ("int8", 16), ("int8", 20)])
def test_a_coarse_scan_is_scored_again(precision: Precision, width: int, tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        item_tower, _ = build_towers(SHAPES, SETTINGS.model_copy(update={"dimension": width}))
        vectors = torch.nn.functional.normalize(torch.randn(ITEMS + 1, width), dim=1)
    vectors[0] = 0.0
    scan = scan_of(vectors, precision)
    assert scan is not None
    arrays = {"item_vectors": vectors} | {f"scan.{name}": array for name, array in scan.named_buffers()}
    shared = {name: tmp_path / f"{name}.npy" for name in arrays}
    for name, array in arrays.items():
        np.save(shared[name], array.numpy())
    item = {
        "item_categorical": torch.tensor([[1], [2]], dtype=torch.int32),
        "item_numeric": torch.tensor([[0.5], [-1.0]]),
        "embeddings": torch.zeros(2, 1),
    }
    tower = ServedItemTower(item_tower, SHAPES, vectors, COUNT, scan)
    export_model(tower, ITEM_TOWER, 1, tmp_path / "models", item, 1e-3, shared)
    session = open_session(tmp_path / "models" / "item_tower" / "1" / MODEL_FILE)
    query, candidates, scores = session.run(None, {name: tensor.numpy() for name, tensor in item.items()})
    exact = query @ vectors.numpy().T
    np.testing.assert_allclose(scores, np.take_along_axis(exact, candidates, 1), rtol=1e-5)
    best = np.argsort(-exact, axis=1)[:, :COUNT]
    found = [np.isin(row, listed).mean() for row, listed in zip(best, candidates, strict=True)]
    assert min(found) >= 0.98
