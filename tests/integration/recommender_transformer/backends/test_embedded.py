"""The models in this process: late and failing calls, the bound on waiting ones, loading, and the check at start-up."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recommender_transformer.backends.predictor import embedded
from recommender_transformer.backends.predictor.embedded import EmbeddedModels, ModelUnavailable, check_repository
from recommender_transformer.serving.startup_check import check_backends
from tests.support.tiny_release import write_release
from winnow.errors import ReleaseMismatch, WinnowError
from winnow.release import Release, sha256

NAMES = ("retriever", "ranker", "item_tower", "image_encoder", "text_encoder", "audio_encoder")
TEXT = np.array([[3, 1, 2]], np.int64)


@pytest.fixture
def release(tmp_path: Path, repository: Path) -> Release:
    written = write_release(tmp_path, 1, models=NAMES)
    digests = {name: sha256(repository / name / "1" / "model.onnx") for name in NAMES}
    return Release(written.folder, written.manifest.model_copy(update={"models": digests}))


class Gate:
    """A graph whose calls wait until the gate is open."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.begun: list[int] = []

    def run(self, names: Sequence[str], inputs: Any) -> list[Any]:
        self.begun.append(int(inputs["tokens"][0, 0]))
        assert self.open.wait(30)
        return [np.zeros((1, 1), np.float32)]


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


def run(release: Release, repository: Path, gate: Gate, work: Any, threads: int = 2) -> None:
    """Run ``work(models)`` with a text encoder that waits for the gate."""

    async def inside() -> None:
        models = EmbeddedModels(release, repository)
        models._graphs["text_encoder"] = gate  # type: ignore[assignment]
        try:
            await work(models)
        finally:
            await models.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded, "_MOST_THREADS", threads)
        patch.setattr(embedded.os, "sched_getaffinity", lambda _: range(threads))
        asyncio.run(inside())


def text(number: int) -> Any:
    return np.array([[number]], np.int64)


def test_a_call_that_hangs_blocks_neither_the_event_loop_nor_other_calls(
    release: Release, repository: Path, gate: Gate
) -> None:
    async def work(models: EmbeddedModels) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await models.encode("text", text(1))
        embedding = await models.encode("image", np.ones((1, 1, 1, 3), np.uint8))
        assert embedding.tolist() == [[1.0, 1.0, 1.0]]
        assert gate.begun == [1]

    run(release, repository, gate, work)


def test_a_call_whose_caller_has_left_is_not_computed(release: Release, repository: Path, gate: Gate) -> None:
    async def work(models: EmbeddedModels) -> None:
        first = asyncio.create_task(models.encode("text", text(1)))
        left = asyncio.create_task(models.encode("text", text(2)))
        last = asyncio.create_task(models.encode("text", text(3)))
        await asyncio.sleep(0.1)
        left.cancel()
        gate.open.set()
        await asyncio.gather(first, last)
        assert gate.begun == [1, 3]

    run(release, repository, gate, work, threads=1)


def test_one_call_more_than_may_wait_fails_at_once(
    release: Release, repository: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_MAX_QUEUE", 3)

    async def work(models: EmbeddedModels) -> None:
        running = asyncio.create_task(models.encode("text", text(0)))
        await asyncio.sleep(0.1)
        waiting = [asyncio.create_task(models.encode("text", text(n))) for n in range(1, 4)]
        await asyncio.sleep(0)
        with pytest.raises(ModelUnavailable, match="text_encoder: 3 calls wait already"):
            await models.encode("text", text(4))
        gate.open.set()
        await asyncio.gather(running, *waiting)
        await models.encode("text", text(5))

    run(release, repository, gate, work, threads=1)


def test_a_large_encoder_is_loaded_by_its_first_call(
    release: Release, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_LARGE_BYTES", 0)

    async def ask() -> Any:
        models = EmbeddedModels(release, repository)
        before = set(models._graphs)
        answers = await asyncio.gather(*(models.encode("text", TEXT) for _ in range(4)))
        await models.close()
        return before, set(models._graphs), answers

    before, after, answers = asyncio.run(ask())
    assert before == {"retriever", "ranker", "item_tower"}
    assert after == before | {"text_encoder"}
    assert [answer.tolist() for answer in answers] == [[[3.0, 1.0, 2.0]]] * 4


def test_a_file_that_is_no_graph_is_named(release: Release, tmp_path: Path, repository: Path) -> None:
    broken = tmp_path / "broken"
    for name in NAMES:
        (broken / name / "1").mkdir(parents=True)
        (broken / name / "1" / "model.onnx").write_bytes(b"no graph")

    async def load() -> None:
        EmbeddedModels(release, broken)

    with pytest.raises(WinnowError, match=r"retriever/1/model\.onnx cannot be loaded"):
        asyncio.run(load())


def test_start_up_names_what_does_not_match(
    release: Release, repository: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_repository(release, repository)
    other = Release(release.folder, release.manifest.model_copy(update={"number": 9}))
    with pytest.raises(ReleaseMismatch, match=r"pinned to release 9, but there is no \S+/retriever/9/model\.onnx"):
        check_repository(other, repository)
    changed = release.manifest.models | {"ranker": "0" * 64}
    mixed = Release(release.folder, release.manifest.model_copy(update={"models": changed}))
    # Without Redis the transformer starts, but not with another build's models.
    with pytest.raises(ReleaseMismatch, match=r"ranker/1/model\.onnx is not the one of release 1 at .*two builds"):
        check_backends(mixed, "redis://127.0.0.1:1/0", repository)
    monkeypatch.setattr(embedded, "find_spec", lambda name: None)
    with pytest.raises(WinnowError, match=r"ONNX Runtime, which is not installed: install winnow\[cpu,embedded\]"):
        check_repository(release, repository)
    approximate = release.manifest.files | {"index.faiss": "0" * 64}
    searched = Release(release.folder, release.manifest.model_copy(update={"files": approximate}))
    monkeypatch.setattr(embedded, "find_spec", lambda name: None if name == "faiss" else name)
    with pytest.raises(WinnowError, match=r"release 1 searches its items with FAISS, which is not installed: install"):
        check_repository(searched, repository)


@pytest.mark.parametrize(
    "flags", [[], ["--predictor_host=127.0.0.1:1", "--model-repository=models"]], ids=["neither", "both"]
)
def test_one_predictor_must_be_named(flags: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "recommender_transformer", f"--release-dir={tmp_path}", *flags]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert refused.returncode == 2
    assert "one of --predictor_host" in refused.stderr
