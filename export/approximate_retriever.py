"""The choice of the retriever's search, and export of the retriever with an approximate one."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from export.graphs.onnx_model import write_onnx
from export.graphs.parity import ParityRow, measure
from export.triton.config import Backend
from export.triton.version import MODEL_FILE, new_version
from winnow.files import link
from winnow.models.served import ServedRetriever, ServedUserTower
from winnow.models.topk import best_items
from winnow.release import INDEX_FILE, IndexFigures, sha256
from winnow.retrieval.approximate import Queries, approximate, milliseconds
from winnow.settings.training import IndexSettings
from winnow.signatures import RETRIEVER, USER_TOWER

MEASURED_ITEMS = 50_000
"""Catalogs below this size are scanned: the scan takes less time than the user tower."""


@dataclass(frozen=True)
class Choice:
    """The retriever's search.

    Attributes:
        figures: for the manifest.
        file: the index file of an approximate search.
    """

    figures: IndexFigures
    file: Path | None = None


def choose(
    settings: IndexSettings,
    retriever: ServedRetriever,
    inputs: dict[str, Tensor],
    folder: Path,
    seed: int = 0,
    show_progress: bool = False,
) -> Choice:
    """Build an approximate index where the settings ask for it, compare it with the exact search, and choose.

    Recall and latency are those of searches for real users, whose vectors the index was not built from.

    Args:
        settings: section ``index`` of the training settings.
        retriever: the exact one.
        inputs: tensors of the signature's inputs, of real users.
        folder: gets the index file.
        seed: of the index.
        show_progress: show a bar.
    """
    items = len(retriever.item_vectors) - 1
    if settings.kind in ("exact", "milvus"):
        return Choice(IndexFigures(kind=settings.kind, reason="the settings ask for it"))
    if settings.kind == "auto" and items < MEASURED_ITEMS:
        return Choice(IndexFigures(kind="exact", reason=f"{items} items are fewer than {MEASURED_ITEMS}"))
    import faiss

    start = time.perf_counter()
    with torch.inference_mode():
        users = retriever(*inputs.values())[2]
    vectors: NDArray[np.float32] = retriever.item_vectors.numpy()
    history = inputs["history_items"]
    queries = Queries(users.numpy(), history.numpy(), retriever.candidates, retriever.hides_history)
    tuned = approximate(vectors, queries, settings.recall, seed, show_progress)
    exact = _exact_milliseconds(retriever, users, history)
    enough = tuned.recall >= settings.recall
    chosen = enough and (settings.kind == "approximate" or tuned.milliseconds < exact)
    if not enough:
        reason = f"no approximate search reached a recall of {settings.recall:g}"
    elif settings.kind == "approximate":
        reason = "the settings ask for it"
    else:
        reason = "it was the faster one"
    file = folder / INDEX_FILE
    faiss.write_index(tuned.search.index, str(file))
    figures = IndexFigures(
        kind="approximate" if chosen else "exact",
        reason=reason,
        recall=tuned.recall,
        milliseconds=tuned.milliseconds,
        exact_milliseconds=exact,
        lists=tuned.lists,
        probed=tuned.probed,
        refine=tuned.search.refine,
        megabytes=file.stat().st_size / 1e6,
        seconds=time.perf_counter() - start,
    )
    return Choice(figures, file if chosen else None)


def export_approximate(
    retriever: ServedRetriever,
    choice: Choice,
    version: int,
    repository: Path,
    samples: dict[str, Tensor],
    bound: float,
    shared: dict[str, Path],
) -> ParityRow:
    """Export a retriever that searches an index: the user tower's graph, the index and the item vectors.

    Args:
        retriever: the exact one.
        choice: an approximate search.
        version: the release.
        repository: Triton's model repository of that release.
        samples: input name -> real inputs, for the parity check.
        bound: largest accepted absolute difference of a user vector from PyTorch's.
        shared: name of an array -> its file, ``item_vectors`` among them.

    Returns:
        The parity figures.

    Raises:
        ParityError: the exported user tower differs from the original.
    """
    assert choice.file is not None
    tower = ServedUserTower(retriever.tower, retriever.item_vectors).eval()
    parameters = {
        "index_sha256": sha256(choice.file),
        "refine": str(choice.figures.refine),
        "hides_history": str(retriever.hides_history).lower(),
    }
    lists = ("B", retriever.candidates)
    added = {"candidates": lists, "candidate_scores": lists}
    with new_version(RETRIEVER, version, repository, Backend("faiss", parameters), added) as partial:
        vectors = shared["item_vectors"]
        links = {"item_vectors": link(vectors, partial / vectors.name)}
        link(choice.file, partial / INDEX_FILE)
        write_onnx(tower, USER_TOWER, samples, partial / MODEL_FILE, links)
        row = measure(tower, partial / MODEL_FILE, USER_TOWER, samples, bound)
    return ParityRow(RETRIEVER.name, row.outputs, row.difference, row.bound, row.megabytes)


def _exact_milliseconds(retriever: ServedRetriever, users: Tensor, history: Tensor) -> float:
    """The exact search of the graph, timed in PyTorch, for one user and with one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    hidden = history if retriever.hides_history else None
    try:
        with torch.inference_mode():
            return milliseconds(
                lambda row: best_items(
                    users[row],
                    retriever.item_vectors,
                    retriever.candidates,
                    None if hidden is None else hidden[row],
                    retriever.scan,
                ),
                len(users),
            )
    finally:
        torch.set_num_threads(threads)
