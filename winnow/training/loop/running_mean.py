"""The exponential running mean of a model's weights, which is validated and served in place of the last step's."""

import copy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

_MOST_KEPT = 0.99
"""Share of the mean that a step keeps, once the first steps are over."""

Model = TypeVar("Model", bound=nn.Module)


def kept(step: int) -> float:
    """Share of the mean that step ``step``, from 1, keeps: little at first, to forget the initial weights soon."""
    return min(_MOST_KEPT, step / (step + 10))


class RunningMean(Generic[Model]):
    """The mean over the training steps of a model's parameters; its buffers, which may hold a catalog, are not copied.

    Args:
        model: in training; its parameters are read at every :meth:`update`.
        apart: a parameter whose mean is kept elsewhere; its current value is that of the averaged model.

    Attributes:
        weights: name -> mean of a parameter.
    """

    def __init__(self, model: Model, apart: nn.Parameter | None = None) -> None:
        self._model = model
        self._parameters = {name: p for name, p in model.named_parameters() if p is not apart}
        self.weights: dict[str, Tensor] = {name: p.detach().clone() for name, p in self._parameters.items()}
        self._step = 0

    @torch.no_grad()
    def update(self) -> None:
        """Take in the model's parameters after a step."""
        self._step += 1
        now = [parameter.detach() for parameter in self._parameters.values()]
        torch._foreach_lerp_(list(self.weights.values()), now, 1.0 - kept(self._step))

    def resume(self, step: int) -> None:
        """Go on after step ``step`` of an earlier run, whose means are in ``weights``."""
        self._step = step

    @torch.no_grad()
    def model(self) -> Model:
        """A copy of the model that holds the mean, in evaluation mode; it shares the model's buffers."""
        averaged = copy.deepcopy(self._model, {id(buffer): buffer for buffer in self._model.buffers()})
        for name, parameter in averaged.named_parameters():
            if name in self.weights:
                parameter.copy_(self.weights[name])
        return averaged.eval()
