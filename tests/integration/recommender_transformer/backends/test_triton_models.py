"""The models in a real Triton that serves two versions of them, and in this process."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc.aio
import numpy as np
import pytest

from recommender_transformer.backends.predictor.embedded import EmbeddedModels
from recommender_transformer.backends.predictor.triton import TritonModels, address_of, check_versions
from tests.support.tiny_release import write_release
from winnow.encoders.inputs import Modality
from winnow.errors import ReleaseMismatch, WinnowError

Connect = Callable[[int], Any]


@pytest.fixture(scope="module")
def address(triton: Any, repository: Path) -> str:
    return triton(repository)


@pytest.fixture(params=["triton", "embedded"])
def connect(request: Any, repository: Path, tmp_path: Path) -> Connect:
    """Creates the client of a version's models, inside the event loop."""
    if request.param == "triton":
        address = request.getfixturevalue("address")
        return lambda version: TritonModels(address, version)

    def embedded(version: int) -> EmbeddedModels:
        names = [path.parent.parent.name for path in repository.glob(f"*/{version}/model.onnx")]
        return EmbeddedModels(write_release(tmp_path, version, models=tuple(names)), repository)

    return embedded


def user() -> dict[str, np.ndarray[Any, Any]]:
    return {
        "history_items": np.array([[0, 3, 9]], np.int32),
        "history_events": np.array([[0, 1, 1]], np.int32),
        "history_gaps": np.array([[0, 0, 0.5]], np.float32),
        "user_categorical": np.zeros((1, 1), np.int32),
        "user_numeric": np.zeros((1, 1), np.float32),
    }


@pytest.mark.parametrize("version", [1, 2])
def test_the_pinned_version_answers(connect: Connect, version: int) -> None:
    async def ask() -> Any:
        models = connect(version)
        try:
            return await models.retrieve(user())
        finally:
            await models.close()

    retrieved = asyncio.run(ask())
    assert (retrieved.candidates.dtype, retrieved.candidates.tolist()) == (np.int32, [[0, 3, 9]])
    assert retrieved.scores.tolist() == [[version, version, version + 0.5]]


def test_ranking(connect: Connect) -> None:
    candidates = {
        "candidate_items": np.array([[5, 0]], np.int32),
        "candidate_categorical": np.zeros((1, 2, 3), np.int32),
        "candidate_numeric": np.array([[[0.25, 0.5], [0, 0]]], np.float32),
    }

    async def ask() -> Any:
        models = connect(1)
        try:
            return await models.rank(user() | candidates)
        finally:
            await models.close()

    assert asyncio.run(ask()).probabilities.tolist() == [[[0.25, 0.5], [0.0, 0.0]]]


def test_a_user_tower_in_the_retrievers_place(connect: Connect) -> None:
    async def ask() -> Any:
        models = connect(1)
        try:
            return await models.user_vector(user())
        finally:
            await models.close()

    assert asyncio.run(ask()).tolist() == [[0.0]]


def test_a_wrong_input_fails_as_the_ladder_expects(connect: Connect) -> None:
    """The funnel counts both errors against the component's circuit breaker."""

    async def ask() -> Any:
        models = connect(1)
        try:
            return await models.retrieve(user() | {"history_gaps": np.zeros((1, 3), np.int32)})
        finally:
            await models.close()

    with pytest.raises((grpc.aio.AioRpcError, OSError)):
        asyncio.run(ask())


def test_a_version_that_triton_does_not_serve(address: str) -> None:
    async def ask() -> Any:
        models = TritonModels(address, 7)
        try:
            return await models.retrieve(user())
        finally:
            await models.close()

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        asyncio.run(ask())
    assert caught.value.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAVAILABLE)


def test_encoders_and_item_tower(connect: Connect) -> None:
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
        models = connect(1)
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
