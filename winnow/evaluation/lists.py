"""The lists that an evaluation compares: of the served funnel, and of its retriever alone."""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tqdm import tqdm

from winnow import client, home
from winnow.errors import WinnowError
from winnow.features.table import Interactions
from winnow.items.index import ItemIndex
from winnow.local.stack import Stack
from winnow.ports import Ports
from winnow.release import Release
from winnow.retrieval.history import assemble_many, user_tensors
from winnow.signatures import RETRIEVER, USER_TOWER

DEPTH = 50
"""Length of the evaluated lists."""

_BATCH = 16
_PATIENCE_MS = 10_000
_CONNECTIONS = 2


def of_retriever(release: Release, log: Interactions, users: NDArray[np.int64]) -> NDArray[np.int32]:
    """The best items by the exported user tower's vectors and the item vectors: int32 [users, DEPTH].

    Args:
        release: the release; unless it allows repeats, the items of a user's history are left out.
        log: the release's log.
        users: int64 [users], rows of ``user_ids``.
    """
    model = USER_TOWER if USER_TOWER.name in release.manifest.models else RETRIEVER
    path = home.onnx_model(release.manifest.number, model.name)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    user_rows, vectors = release.array("user_rows"), release.array("item_vectors")
    top = np.zeros((len(users), DEPTH), np.int32)
    for start in range(0, len(users), _BATCH):
        batch = users[start : start + _BATCH]
        history = assemble_many(
            log.item,
            log.event,
            log.timestamp,
            log.offsets[batch],
            log.offsets[batch + 1],
            release.manifest.history_length,
        )
        [user_vectors] = session.run(["user_vector"], user_tensors(history, user_rows[batch]))
        scores = user_vectors @ vectors.T
        scores[:, 0] = -np.inf
        if release.schema.repeats != "allow":
            for row, user in enumerate(batch):
                scores[row, log.item[log.of(user)]] = -np.inf
        best = np.argsort(-scores, axis=1, kind="stable")[:, :DEPTH]
        reachable = np.isfinite(np.take_along_axis(scores, best, axis=1))
        top[start : start + len(batch), : best.shape[1]] = np.where(reachable, best, 0)
    return top


def of_funnel(release: Release, users: NDArray[np.int64], show_progress: bool) -> NDArray[np.int32]:
    """The funnel's answers over gRPC, from a stack of its own that runs beside this home's: int32 [users, DEPTH].

    Args:
        release: the release.
        users: int64 [users], rows of ``user_ids``.
        show_progress: show progress bars.

    Raises:
        WinnowError: an answer was degraded.
    """
    find = ItemIndex.of(release).find
    names = release.array("user_ids")[users].tolist()
    batches = [names[start : start + _BATCH] for start in range(0, len(names), _BATCH)]
    top = np.zeros((len(users), DEPTH), np.int32)
    ports = Ports.free()
    with (
        tempfile.TemporaryDirectory(prefix="winnow-evaluate-") as folder,
        Stack(release.manifest.number, ports, state_dir=Path(folder), show_progress=show_progress),
        client.grpc(ports.grpc) as endpoint,
        ThreadPoolExecutor(_CONNECTIONS) as pool,
    ):

        def ask(batch: list[str]) -> list[list[int]]:
            # A long deadline: on a busy machine, a short one would evaluate the fallbacks instead of the funnel.
            instances = [{"user_id": user, "k": DEPTH, "deadline_ms": _PATIENCE_MS} for user in batch]
            answers = client.over_grpc(endpoint, instances)
            for answer in answers:
                if answer["degraded"]:
                    raise WinnowError(f"the funnel was degraded while it was evaluated: {answer['degraded']}")
            return [find([item["item_id"].encode() for item in answer["items"]]).tolist() for answer in answers]

        answered = tqdm(pool.map(ask, batches), total=len(batches), desc="query the funnel", disable=not show_progress)
        for number, lists in enumerate(answered):
            for row, items in enumerate(lists, start=number * _BATCH):
                top[row, : len(items)] = items
    return top
