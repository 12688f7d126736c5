"""The exponential running mean of a model's weights, which is validated and served in place of the last step's."""

import copy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

_MOST_KEPT = 0.99
"""Share of the mean that a step keeps, once the first steps are over."""

Model = TypeVar("Model", bound=nn.Module)

_Tensors = tuple[Tensor, ...] | list[Tensor]


class RunningMean(Generic[Model]):
    """The mean over the training steps of a model's parameters.

    Args:
        model: in training; its parameters are read at every :meth:`update`.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        # The parameters alone: AveragedModel copies buffers in every step, and the ranker's hold the whole catalog.
        self._weights = nn.ParameterList(model.parameters())
        self._mean = AveragedModel(self._weights, multi_avg_fn=_average)

    def update(self) -> None:
        """Take in the model's parameters after a step."""
        self._mean.update_parameters(self._weights)

    def model(self) -> Model:
        """A copy of the model that holds the mean, in evaluation mode; it shares the model's buffers."""
        averaged = copy.deepcopy(self._model, {id(buffer): buffer for buffer in self._model.buffers()})
        with torch.no_grad():
            for parameter, mean in zip(averaged.parameters(), self._mean.module.parameters(), strict=True):
                parameter.copy_(mean)
        return averaged.eval()


def _average(mean: _Tensors, weights: _Tensors, updates: Tensor | int) -> None:
    """Keep little of the mean at first, so that the initial weights are soon forgotten."""
    step = int(updates) + 1
    torch._foreach_lerp_(mean, weights, 1.0 - min(_MOST_KEPT, step / (step + 10)))
