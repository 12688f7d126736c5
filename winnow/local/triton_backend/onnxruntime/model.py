"""Triton's ``onnxruntime`` backend for builds of Triton that have only the Python backend.

Triton runs this file for every model with ``backend: "onnxruntime"``, so the same model repository is served here and
by the native backend of GPU nodes; ``native_rule`` rejects the configurations that the native backend rejects. It runs
in Triton's own environment, with NumPy, ONNX Runtime and ``triton_python_backend_utils`` but without Winnow.
"""

import json
from pathlib import Path

import onnxruntime
from batched_model import BatchedModel, Tensors
from native_rule import validate


class TritonPythonModel(BatchedModel):  # type: ignore[misc]  # mypy does not see it on the path
    """An instance of a model version."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load ``{model_repository}/{model_version}/model.onnx`` and validate the config against it.

        Raises:
            ValueError: The native backend would reject the config and graph; the message is the native backend's.
        """
        config = json.loads(args["model_config"])
        # Not resolved: the version's folder may be a link to a path that this Python cannot represent.
        path = Path(args["model_repository"], args["model_version"], "model.onnx")
        options = onnxruntime.SessionOptions()
        # One thread by default: requests run concurrently, and more threads would only compete for cores.
        threads = config.get("parameters", {}).get("intra_op_thread_count", {"string_value": "1"})
        options.intra_op_num_threads = int(threads["string_value"])
        options.inter_op_num_threads = 1
        # Errors alone: ONNX Runtime warns that shared weights are no constants, which keeps it from copying them.
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        validate(args["model_name"], config, self.session)

    def compute(self, names: list[str], feed: Tensors) -> Tensors:
        """The outputs ``names`` of one batch."""
        return dict(zip(names, self.session.run(names, feed), strict=True))
