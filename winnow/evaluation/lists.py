"""The lists that an evaluation compares with the funnel's: of its retriever alone, and of the baselines."""

from dataclasses import fields

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from winnow import home
from winnow.evaluation import baselines
from winnow.evaluation.funnel import DEPTH
from winnow.features.table import Interactions
from winnow.release import Release
from winnow.retrieval.history import assemble_many, user_tensors
from winnow.signatures import RETRIEVER, USER_TOWER

_BATCH = 16

_EASE_ITEMS = 10_000
"""Items up to which EASE is computed, whose time is cubic in them and whose memory quadratic: 1.6 GB."""


def log_of(release: Release) -> Interactions:
    """The log that a release was built from."""
    return Interactions(*(np.asarray(release.array(field.name)) for field in fields(Interactions)))


def of_baselines(release: Release, log: Interactions, users: NDArray[np.int64]) -> dict[str, NDArray[np.int32]]:
    """The lists of the classic recommenders, which learn from all users: name -> int32 [users, DEPTH].

    Args:
        release: the release.
        log: its log.
        users: int64 [users], rows of ``user_ids``.
    """
    repeats = release.schema.repeats == "allow"
    past = baselines.Past.of(log, release.items, release.schema.event_values, repeats)
    found = {
        "popularity": baselines.popularity(past, DEPTH, users),
        "item_knn": baselines.item_knn(past, DEPTH, users=users),
    }
    if release.items <= _EASE_ITEMS:
        found["ease"] = baselines.ease(past, DEPTH, users=users)
    return found | {"most_taken": baselines.most_taken(past, DEPTH, users)} if repeats else found


def of_retriever(release: Release, log: Interactions, users: NDArray[np.int64]) -> NDArray[np.int32]:
    """The best items by the exported user tower's vectors and the item vectors: int32 [users, DEPTH].

    Args:
        release: the release; unless it allows repeats, the items of a user's history are left out.
        log: the release's log.
        users: int64 [users], rows of ``user_ids``.
    """
    model = USER_TOWER if USER_TOWER.name in release.manifest.models else RETRIEVER
    path = home.onnx_model(release.manifest.number, model.name)
    options = onnxruntime.SessionOptions()
    # Errors only: of the retriever it warns that the item vectors, which graphs share, are an input, too.
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
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
