"""Triton's ``onnxruntime`` backend for machines whose Triton has only the Python backend.

Triton runs this file for every model whose config says ``backend: "onnxruntime"``, so the same model repository serves
here and on the native backend of GPU nodes; ``native_rule`` refuses what that one refuses. It runs in Triton's own
environment: NumPy, ONNX Runtime and ``triton_python_backend_utils``, nothing of Winnow.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import triton_python_backend_utils as pb_utils
from native_rule import validate
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

Tensors = dict[str, npt.NDArray[Any]]


class TritonPythonModel:
    """One instance of one version of one model."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load ``{model_repository}/{model_version}/model.onnx`` and hold it against the config.

        Raises:
            ValueError: The native backend would refuse this config and this graph; the message is in its words.
        """
        config = json.loads(args["model_config"])
        # Not resolved: the version's folder may be a link to where this Python could not name it.
        path = Path(args["model_repository"], args["model_version"], "model.onnx")
        options = onnxruntime.SessionOptions()
        # One thread unless the config asks for more: requests run side by side, and threads would only queue for cores.
        threads = config.get("parameters", {}).get("intra_op_thread_count", {"string_value": "1"})
        options.intra_op_num_threads = int(threads["string_value"])
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        validate(args["model_name"], config, self.session)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer the requests that Triton's scheduler handed over together, in their order."""
        feeds = [{tensor.name(): tensor.as_numpy() for tensor in request.inputs()} for request in requests]
        wanted = [list(request.requested_output_names()) for request in requests]
        return self._answer(feeds, wanted)

    def _answer(self, feeds: list[Tensors], wanted: list[list[str]]) -> list[Any]:
        """Run requests as one; should that fail, each alone, so that an error reaches only its own request."""
        # One run computes what any of the requests asked for, and nothing else.
        names = list(dict.fromkeys(name for request in wanted for name in request))
        try:
            outputs = dict(zip(names, self.session.run(names, join(feeds)), strict=True))
            rows = split(outputs, [len(next(iter(feed.values()))) for feed in feeds]) if len(feeds) > 1 else [outputs]
        except Exception as error:
            if len(feeds) > 1:
                return [self._answer([feed], [names])[0] for feed, names in zip(feeds, wanted, strict=True)]
            kinds = pb_utils.TritonError
            kind = kinds.INVALID_ARG if isinstance(error, InvalidArgument) else kinds.INTERNAL
            return [pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error), kind))]
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor(name, tensors[name]) for name in names])
            for tensors, names in zip(rows, wanted, strict=True)
        ]


def join(feeds: list[Tensors]) -> Tensors:
    """Concatenate requests along the batch dimension; one alone is not copied.

    Raises:
        ValueError: They differ in their tensors, or in their shapes beyond the batch dimension.
    """
    if len(feeds) == 1:
        return feeds[0]
    if any(feed.keys() != feeds[0].keys() for feed in feeds):
        raise ValueError("the requests have different inputs")
    return {name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]}


def split(outputs: Tensors, sizes: list[int]) -> list[Tensors]:
    """Cut joined outputs back into each request's rows.

    Raises:
        ValueError: An output has no batch dimension, so its rows belong to no request.
    """
    for name, tensor in outputs.items():
        if tensor.shape[:1] != (sum(sizes),):
            raise ValueError(f"output {name} has shape {list(tensor.shape)} for a batch of {sum(sizes)}")
    ends = np.cumsum(sizes)
    return [
        {name: tensor[end - size : end] for name, tensor in outputs.items()}
        for size, end in zip(sizes, ends, strict=True)
    ]
