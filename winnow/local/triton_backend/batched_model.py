"""What the Python-based backends share: the requests of one call are computed as one batch.

:func:`winnow.local.triton.server` copies this file into the folder of each backend.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import triton_python_backend_utils as pb_utils
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

Tensors = dict[str, npt.NDArray[Any]]


class BatchedModel:
    """A model whose inputs and outputs have a batch dimension; a backend's ``TritonPythonModel`` computes it."""

    def compute(self, names: list[str], feed: Tensors) -> Tensors:
        """The outputs ``names`` of one batch."""
        raise NotImplementedError

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Execute the requests of one call of Triton's scheduler; returns responses in the same order."""
        feeds = [{tensor.name(): tensor.as_numpy() for tensor in request.inputs()} for request in requests]
        outputs = [list(request.requested_output_names()) for request in requests]
        return self._run(feeds, outputs)

    def _run(self, feeds: list[Tensors], requested: list[list[str]]) -> list[Any]:
        """Run requests as one batch; if that fails, run each alone, so that an error affects only its own request."""
        # The batch computes the union of the requested outputs.
        names = list(dict.fromkeys(name for request in requested for name in request))
        try:
            outputs = self.compute(names, join(feeds))
            rows = split(outputs, [len(next(iter(feed.values()))) for feed in feeds]) if len(feeds) > 1 else [outputs]
        except Exception as error:
            if len(feeds) > 1:
                return [self._run([feed], [names])[0] for feed, names in zip(feeds, requested, strict=True)]
            kinds = pb_utils.TritonError
            kind = kinds.INVALID_ARG if isinstance(error, InvalidArgument) else kinds.INTERNAL
            return [pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error), kind))]
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor(name, tensors[name]) for name in names])
            for tensors, names in zip(rows, requested, strict=True)
        ]


def join(feeds: list[Tensors]) -> Tensors:
    """Concatenate requests along the batch dimension; a single request is not copied.

    Raises:
        ValueError: The requests have different tensors, or shapes that differ beyond the batch dimension.
    """
    if len(feeds) == 1:
        return feeds[0]
    if any(feed.keys() != feeds[0].keys() for feed in feeds):
        raise ValueError("the requests have different inputs")
    return {name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]}


def split(outputs: Tensors, sizes: list[int]) -> list[Tensors]:
    """Split the outputs of a batch into the rows of each request.

    Raises:
        ValueError: An output has no batch dimension of that size, so it cannot be split.
    """
    for name, tensor in outputs.items():
        if tensor.shape[:1] != (sum(sizes),):
            raise ValueError(f"output {name} has shape {list(tensor.shape)} for a batch of {sum(sizes)}")
    ends = np.cumsum(sizes)
    return [
        {name: tensor[end - size : end] for name, tensor in outputs.items()}
        for size, end in zip(sizes, ends, strict=True)
    ]
