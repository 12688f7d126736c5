"""The floors of the funnel's latency: the graphs and one Redis round trip, without any code of the funnel.

The floor calls the graphs in this process; the served floor has Triton run them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnxruntime
import redis
import tritonclient.grpc as grpcclient
from numpy.typing import NDArray
from tritonclient.utils import np_to_triton_dtype

from winnow import home
from winnow.local.redis import url
from winnow.ports import Ports
from winnow.ranking.context import CONTEXT_FEATURES
from winnow.release import Release
from winnow.retrieval.history import assemble, user_tensors

Ask = Callable[[str], object]
"""Sends one user's request and waits for the answer."""

Infer = Callable[[str, list[str], dict[str, NDArray[Any]]], list[NDArray[Any]]]
"""Calls a model: its name, its outputs, its inputs."""


def floor(served: Release, users: list[str], redis_port: int, ranked: int, infer: Infer) -> Ask:
    """The floor: retriever, ranker over the median number of candidates, and one Redis round trip.

    Args:
        served: the release.
        users: whose requests are asked for.
        redis_port: of the stack's Redis.
        ranked: median number of candidates that the ranker gets.
        infer: calls the graphs.
    """
    store = redis.Redis.from_url(url(redis_port))
    known: NDArray[Any] = served.array("user_ids")
    place = {user: position for position, user in enumerate(known.tolist())}
    inputs = {user: _inputs(served, place[user]) for user in users}
    rows = np.asarray(served.array("item_rows"))
    context = len(CONTEXT_FEATURES)
    no_fresh = np.zeros((1, 1, served.array("item_vectors").shape[1]), np.float32)

    def ask(user: str) -> object:
        store.get(f"r{served.manifest.number}:manifest")
        found, _ = infer("retriever", ["candidates", "candidate_scores"], inputs[user])
        items = found[:, :ranked]
        columns = rows[items]
        numeric = np.zeros((*items.shape, columns["numeric"].shape[-1] + context), np.float32)
        numeric[..., :-context] = columns["numeric"]
        candidates = {
            "candidate_items": items,
            "candidate_categorical": np.ascontiguousarray(columns["categorical"]),
            "candidate_numeric": numeric,
            "fresh_vectors": no_fresh,
        }
        return infer("ranker", ["probabilities", "scores"], inputs[user] | candidates)

    return ask


def in_process(served: Release) -> Infer:
    """The release's graphs in this process."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = {
        name: onnxruntime.InferenceSession(
            home.onnx_model(served.manifest.number, name), options, providers=["CPUExecutionProvider"]
        )
        for name in ("retriever", "ranker")
    }
    return lambda model, outputs, inputs: sessions[model].run(outputs, inputs)


@contextmanager
def over_triton(served: Release, ports: Ports) -> Iterator[Infer]:
    """The release's graphs in a running Triton."""
    with grpcclient.InferenceServerClient(f"127.0.0.1:{ports.triton_grpc}") as client:

        def infer(model: str, outputs: list[str], inputs: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
            tensors = []
            for name, array in inputs.items():
                tensors.append(grpcclient.InferInput(name, array.shape, np_to_triton_dtype(array.dtype)))
                tensors[-1].set_data_from_numpy(array)
            wanted = [grpcclient.InferRequestedOutput(name) for name in outputs]
            answer = client.infer(model, tensors, str(served.manifest.number), wanted)
            return [answer.as_numpy(name) for name in outputs]

        yield infer


def _inputs(served: Release, user: int) -> dict[str, NDArray[Any]]:
    begin, end = served.array("offsets")[user : user + 2]
    items, events, timestamps = (np.asarray(served.array(name)[begin:end]) for name in ("item", "event", "timestamp"))
    history = assemble(items, events, timestamps, served.manifest.history_length)
    return user_tensors(history, served.array("user_rows")[user : user + 1])
