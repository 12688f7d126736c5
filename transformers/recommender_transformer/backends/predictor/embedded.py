"""The models of a release in this process: ONNX Runtime, over the graphs of the release's Triton repository.

For deployments without a GPU, where a call to Triton costs more than the graph that it runs. The graphs, their versions
and their outputs are Triton's. Arrays that graphs share are mapped from the release's folder, so that graphs, catalog
and all processes of a machine share their pages.
"""

import logging
import os
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.predictor.models import Ranked, Retrieved, SimilarItems, Tensors
from recommender_transformer.backends.predictor.worker_threads import QueueFull, WorkerThreads
from winnow.encoders.inputs import ENCODERS, Modality
from winnow.errors import ReleaseMismatch, WinnowError
from winnow.release import INDEX_FILE, Release, sha256
from winnow.signatures import RETRIEVER

log = logging.getLogger(__name__)

_MOST_THREADS = 4
"""Calls at the same time. ONNX Runtime computes each in one thread, without the interpreter's lock."""

_MAX_QUEUE = 256
"""Calls that may wait, as for a model in Triton; one more fails at once, and the funnel falls back."""

_LARGE_BYTES = 64 << 20
"""Encoders from this size on, which are published ones, are loaded by their first call: a process that gets no such
query does not hold them. That query falls back if loading exceeds its deadline; the next one does not."""

_ERROR = 3
"""Of ONNX Runtime's levels: it warns that shared weights are no constants, which keeps it from copying them."""

_SHARED_FOLDER = "session.model_external_initializers_file_folder_path"
"""Setting of a session: where the shared arrays of a graph are that is given as bytes."""

_REMEDY = "install winnow[cpu,embedded], or serve the release with Triton"


class ModelUnavailable(OSError):
    """A model has failed, or too many calls wait for the models."""


class _Graph(Protocol):
    """A loaded model."""

    def run(self, names: Sequence[str], inputs: Tensors) -> list[NDArray[Any]]:
        """The outputs ``names``."""


class EmbeddedModels:
    """The models of one release, computed by threads of this process. Create it inside the running event loop.

    Args:
        release: the release.
        repository: its Triton repository, checked by :func:`check_repository`.

    Raises:
        WinnowError: a graph cannot be loaded.
    """

    def __init__(self, release: Release, repository: Path) -> None:
        self._release, self._repository = release, repository
        self._graphs: dict[str, _Graph] = {}
        self._loading = Lock()
        for name in release.manifest.models:
            if not _is_encoder(name) or _onnx(release, repository, name).stat().st_size < _LARGE_BYTES:
                self._graph(name)
        threads = min(_MOST_THREADS, len(os.sched_getaffinity(0)))
        self._threads: WorkerThreads[list[NDArray[Any]]] = WorkerThreads(threads, _MAX_QUEUE)

    async def retrieve(self, inputs: Tensors) -> Retrieved:
        """Call the retriever.

        Raises:
            ModelUnavailable: it has failed, or too many calls wait.
        """
        outputs = await self._call("retriever", inputs, "candidates", "candidate_scores", "user_vector")
        return Retrieved(*outputs)

    async def user_vector(self, inputs: Tensors) -> NDArray[np.float32]:
        """Call the user tower.

        Raises:
            ModelUnavailable: it has failed, or too many calls wait.
        """
        [vector] = await self._call("user_tower", inputs, "user_vector")
        return vector

    async def rank(self, inputs: Tensors) -> Ranked:
        """Call the ranker.

        Raises:
            ModelUnavailable: it has failed, or too many calls wait.
        """
        return Ranked(*await self._call("ranker", inputs, "probabilities"))

    async def encode(self, modality: Modality, content: NDArray[Any]) -> NDArray[np.float32]:
        """Call an encoder.

        Raises:
            ModelUnavailable: it has failed, or too many calls wait.
        """
        signature = ENCODERS[modality]
        [embedding] = await self._call(signature.name, {signature.inputs[0].name: content}, "embedding")
        return embedding

    async def tower(self, inputs: Tensors) -> SimilarItems:
        """Call the item tower.

        Raises:
            ModelUnavailable: it has failed, or too many calls wait.
        """
        outputs = await self._call("item_tower", inputs, "item_vector", "candidates", "candidate_scores")
        return SimilarItems(*outputs)

    async def close(self) -> None:
        """End the threads after the calls that wait."""
        self._threads.close()

    async def _call(self, model: str, inputs: Tensors, *outputs: str) -> list[NDArray[Any]]:
        try:
            return await self._threads.submit(partial(self._run, model, inputs, outputs))
        except QueueFull:
            raise ModelUnavailable(f"{model}: {_MAX_QUEUE} calls wait already") from None

    def _run(self, model: str, inputs: Tensors, outputs: Sequence[str]) -> list[NDArray[Any]]:
        try:
            return self._graph(model).run(outputs, inputs)
        except Exception as error:
            log.warning("%s failed: %s", model, error)
            raise ModelUnavailable(f"{model}: {error}") from error

    def _graph(self, model: str) -> _Graph:
        """A model, loaded by the first thread that calls it."""
        if model not in self._graphs:
            with self._loading:
                if model not in self._graphs:
                    self._graphs[model] = self._loaded(model)
        return self._graphs[model]

    def _loaded(self, model: str) -> _Graph:
        path = _onnx(self._release, self._repository, model)
        try:
            # An encoder shares no array; without its bytes, loading a large one takes less memory.
            session = _session(path if _is_encoder(model) else path.read_bytes(), self._release.folder)
            if model == RETRIEVER.name and INDEX_FILE in self._release.manifest.files:
                return _ApproximateRetriever(session, self._release)
        except Exception as error:
            raise WinnowError(f"{path} cannot be loaded: {error}") from error
        return session


class _ApproximateRetriever:
    """The retriever with an approximate search, as Triton's backend ``faiss`` computes it.

    Args:
        tower: the user tower.
        release: the release.
    """

    def __init__(self, tower: _Graph, release: Release) -> None:
        import faiss

        from winnow.local.triton_backend.faiss.faiss_search import Search

        figures = release.manifest.index
        assert figures is not None, "a release with an index file has its figures"
        assert figures.refine is not None, "an approximate search has this figure"
        self._faiss, self._tower = faiss, tower
        self._search = Search(
            faiss.read_index(str(release.folder / INDEX_FILE)),
            release.array("item_vectors"),
            count=release.manifest.candidates["retriever"],
            refine=figures.refine,
            hides_history=release.schema.repeats != "allow",
        )

    def run(self, names: Sequence[str], inputs: Tensors) -> list[NDArray[Any]]:
        """The outputs ``names``."""
        # OpenMP has this number per thread that calls it.
        self._faiss.omp_set_num_threads(1)
        [users] = self._tower.run(["user_vector"], inputs)
        items, scores = self._search.best(users, inputs["history_items"])
        outputs = {"candidates": items, "candidate_scores": scores, "user_vector": users}
        return [outputs[name] for name in names]


def check_repository(release: Release, repository: Path) -> None:
    """Check that this process can compute the models of a release.

    Args:
        release: the release to serve.
        repository: its Triton repository.

    Raises:
        ReleaseMismatch: the repository lacks a model of the release, or has another version of it.
        WinnowError: a package is not installed.
    """
    if find_spec("onnxruntime") is None:
        raise WinnowError(f"--model-repository needs ONNX Runtime, which is not installed: {_REMEDY}")
    manifest = release.manifest
    digests = {_onnx(release, repository, name): digest for name, digest in manifest.models.items()}
    if INDEX_FILE in manifest.files:
        if find_spec("faiss") is None:
            raise WinnowError(
                f"release {manifest.number} searches its items with FAISS, which is not installed: {_REMEDY}"
            )
        # FAISS checks little of what it reads.
        digests[release.folder / INDEX_FILE] = manifest.files[INDEX_FILE]
    for path, digest in digests.items():
        if not path.is_file():
            raise ReleaseMismatch(
                f"this transformer is pinned to release {manifest.number}, but there is no {path}: name the model "
                f"repository of release {manifest.number}"
            )
        if sha256(path) != digest:
            raise ReleaseMismatch(
                f"{path} is not the one of release {manifest.number} at {release.folder}: two builds are mixed; copy "
                "the release and its model repository from the same build"
            )


def _onnx(release: Release, repository: Path, model: str) -> Path:
    return repository / model / str(release.manifest.number) / "model.onnx"


def _is_encoder(model: str) -> bool:
    return any(signature.name == model for signature in ENCODERS.values())


def _session(graph: Path | bytes, shared: Path) -> _Graph:
    """A graph on the CPU; ``shared`` is the folder of the arrays that it shares with others."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # The calling thread alone: requests run at the same time, and threads of ONNX Runtime would spin between calls on
    # the cores that this process shares with Redis and others.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERROR
    options.add_session_config_entry(_SHARED_FOLDER, str(shared))
    session: _Graph = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return session
