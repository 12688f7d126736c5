"""Triton's ``faiss`` backend: the retriever with an approximate search of the items, for CPUs.

Triton runs this file for every model with ``backend: "faiss"``. Its tensors are the exact retriever's. It runs in
Triton's own environment, with NumPy, ONNX Runtime, FAISS and ``triton_python_backend_utils`` but without Winnow.
"""

import hashlib
import json
from pathlib import Path

import faiss
import numpy as np
import onnxruntime
from batched_model import BatchedModel, Tensors
from faiss_search import Search


class TritonPythonModel(BatchedModel):  # type: ignore[misc]  # mypy does not see it on the path
    """An instance of a model version."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the user tower, the index and the item vectors of ``{model_repository}/{model_version}``.

        Raises:
            ValueError: the index file is missing or is not the one that the configuration names, or the parts are of
                different releases.
        """
        config = json.loads(args["model_config"])
        parameters = {name: value["string_value"] for name, value in config["parameters"].items()}
        # Not resolved: the version's folder may be a link to a path that this Python cannot represent.
        folder = Path(args["model_repository"], args["model_version"])
        index = _read(folder / "index.faiss", parameters["index_sha256"])
        faiss.omp_set_num_threads(int(parameters["intra_op_thread_count"]))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(parameters["intra_op_thread_count"])
        options.inter_op_num_threads = 1
        # Errors alone: ONNX Runtime warns that shared weights are no constants, which keeps it from copying them.
        options.log_severity_level = 3
        self.tower = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
        self.search = Search(
            index,
            np.load(folder / "item_vectors.npy", mmap_mode="r", allow_pickle=False),
            count=next(output["dims"][0] for output in config["output"] if output["name"] == "candidates"),
            refine=int(parameters["refine"]),
            hides_history=parameters["hides_history"] == "true",
        )

    def compute(self, names: list[str], feed: Tensors) -> Tensors:
        """The outputs ``names`` of one batch."""
        [users] = self.tower.run(["user_vector"], feed)
        if names == ["user_vector"]:
            return {"user_vector": users}
        items, scores = self.search.best(users, feed["history_items"])
        outputs = {"candidates": items, "candidate_scores": scores, "user_vector": users}
        return {name: outputs[name] for name in names}


def _read(path: Path, expected: str) -> faiss.Index:
    """Read an index, only if its digest is the expected one: FAISS checks little of what it reads."""
    if not path.is_file():
        raise ValueError(f"{path} is missing: the release is incomplete; build it again with `winnow build`")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        raise ValueError(
            f"{path} has SHA-256 {found[:12]}, but config.pbtxt names {expected[:12]}: it has changed since the "
            "release was built; build it again with `winnow build`"
        )
    return faiss.read_index(str(path))
