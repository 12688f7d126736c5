"""Evaluates a release on held-out events: the served funnel, its retriever alone and the classic baselines."""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import TypedDict

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tqdm import tqdm

from winnow import client, home
from winnow.errors import WinnowError
from winnow.evaluation import baselines
from winnow.features.table import Interactions
from winnow.local.stack import Stack
from winnow.ports import Ports
from winnow.ranking import metrics
from winnow.release import Release
from winnow.retrieval.history import assemble_many, user_tensors

DEPTH = 50
"""Length of the evaluated lists."""

_BATCH = 16
_PATIENCE_MS = 10_000
_CONNECTIONS = 2


class Evaluation(TypedDict):
    """The report that ``winnow evaluate --json`` prints; ``metrics`` is recommender -> metric -> value."""

    split: str
    release: int
    users: int
    metrics: dict[str, dict[str, float]]


def evaluate(release: Release, min_weight: float, show_progress: bool) -> Evaluation:
    """Evaluate every recommender on the last event of each user, which the release was built without.

    All items of the catalog are ranked, except those in the user's history. A user is included if the held-out event's
    type weighs at least ``min_weight`` and its item is not in the history.

    Args:
        release: a release built with ``--holdout last``.
        min_weight: minimum weight of the held-out event's type; 0 includes every event.
        show_progress: show progress bars.

    Raises:
        WinnowError: no user has such an event, or the funnel's answers were degraded.
    """
    log = Interactions(*(np.asarray(release.array(field.name)) for field in fields(Interactions)))
    users, held_out = _held_out(release, log, min_weight)
    items = len(release.array("item_ids")) - 1
    lists = {
        "funnel": _funnel(release, users, show_progress),
        "retriever": _retriever(release, log, users),
        "popularity": baselines.popularity(log, items, DEPTH)[users],
        "item_knn": baselines.item_knn(log, items, DEPTH)[users],
        "ease": baselines.ease(log, items, DEPTH)[users],
    }
    at_least = f" of weight {min_weight:g} or more" if min_weight else ""
    return Evaluation(
        split=f"each user's last interaction in time{at_least} (ties: the later in the log), full catalog",
        release=release.manifest.number,
        users=len(users),
        metrics={name: _metrics(top, held_out, items) for name, top in lists.items()},
    )


def _metrics(top: NDArray[np.int32], held_out: NDArray[np.int32], items: int) -> dict[str, float]:
    return {
        "ndcg@10": metrics.ndcg(top, held_out, 10),
        "recall@10": metrics.recall(top, held_out, 10),
        "recall@50": metrics.recall(top, held_out, DEPTH),
        "coverage@10": metrics.coverage(top, items, 10),
    }


def _held_out(release: Release, log: Interactions, min_weight: float) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The evaluated users (int64 [n], rows of ``user_ids``) and the held-out item of each (int32 [n])."""
    held = release.array("holdout")
    weights = np.array([0.0, *release.schema.event_values])
    if not len(held):
        raise WinnowError(
            "no event was held out, because no user has three events or more: there is nothing to evaluate"
        )
    new = np.array([held_item not in log.item[log.of(user)] for user, held_item, _ in held])
    if not new.any():
        raise WinnowError(
            f"the item of each of the {len(held):,} held-out events is in its user's history, and seen items are never "
            "recommended: there is nothing to evaluate"
        )
    kept = (weights[held[:, 2]] >= min_weight) & new
    if not kept.any():
        raise WinnowError(
            f"no held-out event of an unseen item weighs at least {min_weight:g}; the event types weigh "
            + ", ".join(f"{name} {weight:g}" for name, weight in zip(release.schema.events, weights[1:], strict=True))
        )
    return held[kept, 0].astype(np.int64), held[kept, 1].astype(np.int32)


def _retriever(release: Release, log: Interactions, users: NDArray[np.int64]) -> NDArray[np.int32]:
    """The best items by the exported user tower's vectors and the item vectors: int32 [users, DEPTH]."""
    number = release.manifest.number
    path = home.model_repository(number) / "retriever" / str(number) / "model.onnx"
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
        for row, user in enumerate(batch):
            scores[row, log.item[log.of(user)]] = -np.inf
        best = np.argsort(-scores, axis=1, kind="stable")[:, :DEPTH]
        reachable = np.isfinite(np.take_along_axis(scores, best, axis=1))
        top[start : start + len(batch), : best.shape[1]] = np.where(reachable, best, 0)
    return top


def _funnel(release: Release, users: NDArray[np.int64], show_progress: bool) -> NDArray[np.int32]:
    """The funnel's answers over gRPC, from a stack of its own that runs beside this home's: int32 [users, DEPTH]."""
    index = {item_id: position for position, item_id in enumerate(release.array("item_ids").tolist())}
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
            return [[index[item["item_id"]] for item in answer["items"]] for answer in answers]

        answered = tqdm(pool.map(ask, batches), total=len(batches), desc="query the funnel", disable=not show_progress)
        for number, lists in enumerate(answered):
            for row, items in enumerate(lists, start=number * _BATCH):
                top[row, : len(items)] = items
    return top
