"""The retriever with an approximate search, in a real Triton, beside the exact one and one without Triton."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import tritonclient.grpc as grpcclient
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from export.approximate_retriever import Choice, choose, export_approximate
from export.repository import export_model
from recommender_transformer.backends.predictor.embedded import EmbeddedModels, check_repository
from recommender_transformer.backends.predictor.models import Retrieved
from tests.support.tiny_release import SCHEMA, write_bare_release
from winnow.errors import ReleaseMismatch
from winnow.local.infrastructure import infrastructure
from winnow.local.processes import ProcessFailed
from winnow.models.served import ServedRetriever
from winnow.models.towers import Shapes
from winnow.ranking.context import HIDDEN
from winnow.release import Release, sha256
from winnow.settings.training import IndexSettings, RetrieverSettings
from winnow.signatures import RETRIEVER
from winnow.training.retriever.trained import build_towers

WIDTH, LENGTH, USERS = 16, 12, 40
SETTINGS = RetrieverSettings(dimension=WIDTH, layers=1, history_length=LENGTH, dropout=0.0)
Answer = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Pair:
    """One catalog's retriever in both forms."""

    folder: Path
    vectors: NDArray[np.float32]
    users: dict[str, torch.Tensor]
    choice: Choice
    retriever: ServedRetriever


def pair(folder: Path, items: int, count: int) -> Pair:
    shapes = Shapes(
        items=items,
        events=2,
        item_cardinalities=(5,),
        item_tables=(0,),
        item_numerics=(0,),
        user_cardinalities=(),
        user_tables=(),
        user_numerics=0,
        modalities={},
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _, tower = build_towers(shapes, SETTINGS)
        vectors = torch.nn.functional.normalize(torch.randn(items + 1, WIDTH), dim=1)
        history = torch.randint(1, items + 1, (USERS, LENGTH), dtype=torch.int32)
    vectors[0] = 0
    history[0] = 0
    users = {
        "history_items": history,
        "history_events": (history > 0).int(),
        "history_gaps": torch.zeros(USERS, LENGTH),
        "user_categorical": torch.zeros(USERS, 1, dtype=torch.int32),
        "user_numeric": torch.zeros(USERS, 1),
    }
    np.save(folder / "item_vectors.npy", vectors.numpy())
    shared = {"item_vectors": folder / "item_vectors.npy"}
    retriever = ServedRetriever(tower, vectors, count, True).eval()
    choice = choose(IndexSettings(kind="approximate", recall=0.95), retriever, users, folder)
    export_approximate(retriever, choice, 1, folder / "approximate", users, 1e-3, shared)
    export_model(retriever, RETRIEVER, 1, folder / "exact", users, 1e-3, shared)
    return Pair(folder, vectors.numpy(), users, choice, retriever)


def ask(address: str, users: dict[str, torch.Tensor], rows: slice, outputs: tuple[str, ...] = ()) -> Answer:
    inputs = []
    for spec in RETRIEVER.inputs:
        array = users[spec.name][rows].numpy()
        inputs.append(grpcclient.InferInput(spec.name, array.shape, spec.dtype).set_data_from_numpy(array))
    requested = [grpcclient.InferRequestedOutput(name) for name in outputs] or None
    with grpcclient.InferenceServerClient(address) as client:
        answer = client.infer("retriever", inputs, outputs=requested, client_timeout=20.0)
        names = [output.name for output in answer.get_response().outputs]
        return {name: answer.as_numpy(name) for name in names}


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return pair(tmp_path_factory.mktemp("large"), 20_000, 100)


@pytest.fixture(scope="module")
def addresses(large: Pair, triton: Callable[[Path], str]) -> tuple[str, str]:
    return triton(large.folder / "approximate"), triton(large.folder / "exact")


def test_it_is_the_exact_model_to_a_client(addresses: tuple[str, str]) -> None:
    described = []
    for address in addresses:
        with grpcclient.InferenceServerClient(address) as client:
            about = client.get_model_metadata("retriever", as_json=True)
            described.append((about["name"], about["versions"], about["inputs"], about["outputs"]))
    assert described[0] == described[1]


@pytest.mark.parametrize("rows", [slice(0, 1), slice(1, 2), slice(0, USERS)], ids=["no history", "one", "batch"])
def test_lists_are_the_exact_ones_up_to_the_recall(large: Pair, addresses: tuple[str, str], rows: slice) -> None:
    approximate, exact = (ask(address, large.users, rows) for address in addresses)
    assert approximate.keys() == exact.keys()
    for name in exact:
        assert (approximate[name].shape, approximate[name].dtype) == (exact[name].shape, exact[name].dtype)
    np.testing.assert_allclose(approximate["user_vector"], exact["user_vector"], atol=1e-5)
    shares = []
    for row, history in enumerate(large.users["history_items"][rows].numpy()):
        items, scores = approximate["candidates"][row], approximate["candidate_scores"][row]
        assert len(set(items.tolist())) == len(items)
        assert not set(items.tolist()) & {0, *history.tolist()}
        assert (np.diff(scores) <= 0).all()
        np.testing.assert_allclose(scores, large.vectors[items] @ approximate["user_vector"][row], atol=1e-5)
        shares.append(np.isin(items, exact["candidates"][row]).mean())
    assert large.choice.figures.recall is not None
    assert large.choice.figures.recall >= 0.95
    assert np.mean(shares) >= 0.9 if len(shares) == 1 else np.mean(shares) >= 0.95


@pytest.mark.parametrize("kind", ["approximate", "exact"])
def test_an_embedded_predictor_finds_what_triton_finds(
    large: Pair, addresses: tuple[str, str], tmp_path: Path, kind: str
) -> None:
    """The transformer computes the same graph in its own process, with the arrays of the release's folder."""
    users = {name: tensor.numpy() for name, tensor in large.users.items()}
    graph = tmp_path / "models" / "retriever" / "1" / "model.onnx"
    graph.parent.mkdir(parents=True)
    graph.write_bytes((large.folder / kind / "retriever" / "1" / "model.onnx").read_bytes())
    release = searched(large, tmp_path / "1", graph, kind)
    check_repository(release, tmp_path / "models")

    async def ask_itself() -> Retrieved:
        models = EmbeddedModels(release, tmp_path / "models")
        try:
            answer = await models.retrieve(users)
            mapped = await asyncio.to_thread(Path("/proc/self/maps").read_text)
            assert str(release.folder / "item_vectors.npy") in mapped
            return answer
        finally:
            await models.close()

    found, served = asyncio.run(ask_itself()), ask(addresses[kind == "exact"], large.users, slice(0, USERS))
    np.testing.assert_array_equal(found.candidates, served["candidates"])
    np.testing.assert_allclose(found.scores, served["candidate_scores"], atol=1e-6)
    np.testing.assert_allclose(found.user_vector, served["user_vector"], atol=1e-6)


def test_an_embedded_predictor_refuses_another_index(large: Pair, tmp_path: Path) -> None:
    graph = large.folder / "approximate" / "retriever" / "1" / "model.onnx"
    release = searched(large, tmp_path / "1", graph, "approximate")
    (release.folder / "index.faiss").write_bytes(b"another index")
    with pytest.raises(ReleaseMismatch, match=r"index\.faiss is not the one of release 1"):
        check_repository(release, large.folder / "approximate")


def searched(large: Pair, folder: Path, graph: Path, kind: str) -> Release:
    """A release of the catalog of ``large``, with its index where the search is approximate."""
    assert large.choice.file is not None
    files = {"index.faiss": large.choice.file} if kind == "approximate" else {}
    release = write_bare_release(folder.parent, SCHEMA, {"item_vectors": large.vectors}, "none")
    for name, file in files.items():
        (folder / name).write_bytes(file.read_bytes())
    described = {
        "index": large.choice.figures,
        "files": release.manifest.files | {name: sha256(file) for name, file in files.items()},
        "models": {"retriever": sha256(graph)},
        "candidates": {"retriever": large.retriever.candidates},
    }
    return Release(folder, release.manifest.model_copy(update=described))


def test_an_index_reads_part_of_the_lists(large: Pair) -> None:
    figures = large.choice.figures
    assert (figures.kind, figures.reason) == ("approximate", "the settings ask for it")
    assert figures.megabytes is not None
    assert figures.megabytes < large.vectors.nbytes / 1e6


def test_only_requested_outputs_come_back(large: Pair, addresses: tuple[str, str]) -> None:
    assert ask(addresses[0], large.users, slice(0, 2), ("user_vector",)).keys() == {"user_vector"}
    assert ask(addresses[0], large.users, slice(0, 2), ("candidates",)).keys() == {"candidates"}


def test_a_wrong_shape_is_an_error_of_the_client(large: Pair, addresses: tuple[str, str]) -> None:
    for address in addresses:
        short = large.users | {"history_items": large.users["history_items"][:, :5]}
        with pytest.raises(InferenceServerException) as caught:
            ask(address, short, slice(0, 1))
        assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"


@pytest.mark.parametrize(("items", "count"), [(5, 2), (5, 5), (13, 6), (1200, 600)])
def test_lists_are_full_where_the_history_covers_much_of_the_catalog(
    items: int, count: int, tmp_path: Path, triton: Callable[[Path], str]
) -> None:
    """Of 5 items, 12 events know nearly all; 13 items of which 12 are known; lists of half of a small catalog."""
    small = pair(tmp_path, items, count)
    small.users["history_items"][1] = torch.arange(LENGTH) % min(items, LENGTH) + 1
    approximate = ask(triton(tmp_path / "approximate"), small.users, slice(0, USERS))
    exact = ask(triton(tmp_path / "exact"), small.users, slice(0, USERS))
    for row in range(USERS):
        found = approximate["candidates"][row]
        assert len(set(found.tolist())) == count
        assert found.min() >= 1
        assert found.max() <= items
    known = approximate["candidate_scores"] <= HIDDEN
    np.testing.assert_array_equal(known, exact["candidate_scores"] <= HIDDEN)
    assert known.any() == (items < 1200)
    if items < 1200:  # such an index is flat
        np.testing.assert_allclose(approximate["candidate_scores"], exact["candidate_scores"], atol=1e-5)


def test_a_damaged_index_is_refused(large: Pair, tmp_path: Path) -> None:
    version = tmp_path / "retriever" / "1"
    version.mkdir(parents=True)
    source = large.folder / "approximate" / "retriever"
    (version.parent / "config.pbtxt").write_bytes((source / "config.pbtxt").read_bytes())
    for file in (source / "1").iterdir():
        (version / file.name).write_bytes(file.read_bytes())
    content = bytearray((version / "index.faiss").read_bytes())
    content[len(content) // 2] ^= 1
    (version / "index.faiss").write_bytes(content)
    refusal = r"index\.faiss has SHA-256 \w{12}, but config\.pbtxt names \w{12}: it has changed since the release"
    with pytest.raises(ProcessFailed, match=refusal), infrastructure(tmp_path, {"retriever": [1]}):
        pass
    (version / "index.faiss").unlink()
    with (
        pytest.raises(ProcessFailed, match=r"index\.faiss is missing: the release is incomplete"),
        infrastructure(tmp_path, {"retriever": [1]}),
    ):
        pass


def test_a_small_catalog_is_scanned_without_measuring(large: Pair, tmp_path: Path) -> None:
    choice = choose(IndexSettings(kind="auto"), large.retriever, large.users, tmp_path)
    assert choice.file is None
    assert choice.figures.model_dump(exclude_none=True) == {
        "kind": "exact",
        "reason": "20000 items are fewer than 50000",
    }


def test_a_recall_out_of_reach_is_said_and_the_scan_taken(large: Pair, tmp_path: Path) -> None:
    from winnow.retrieval import approximate

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(approximate, "_REFINE", (1,))
        choice = choose(IndexSettings(kind="approximate", recall=1), large.retriever, large.users, tmp_path)
    assert choice.file is None
    assert choice.figures.reason == "no approximate search reached a recall of 1"
    assert choice.figures.recall is not None
    assert choice.figures.recall < 1
