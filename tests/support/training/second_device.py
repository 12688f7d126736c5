"""A second device without a GPU: tensors that compute on the CPU, and refuse to meet tensors that are not "moved".

PyTorch's device ``meta`` lends its name. A tensor on it is a :class:`_Moved`, whose data an ordinary tensor holds. An
operation that takes tensors of both devices raises, as it does between a GPU and the CPU, so that code which trains
under :func:`second_device` creates and moves every tensor correctly. As on a GPU, a tensor of one number and the
indices of an index may be on the CPU.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

DEVICE = torch.device("meta")

_aten = torch.ops.aten
_MOVES = {_aten._to_copy.default, _aten.copy_.default}
_INDEXING = {_aten.index.Tensor, _aten.index_put_.default, _aten._index_put_impl_.default}


class _Moved(Tensor):
    """A tensor on the second device; ``held`` has its data."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> "_Moved":
        moved: _Moved = Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=DEVICE,
        )
        moved.held = held
        return moved

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # PyTorch's own is a placeholder
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _computed(func, args, kwargs or {})


class _Factories(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees the calls that create or move a tensor, whose arguments are not on the second device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(func, args, kwargs or {})


def _computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, Tensor)]
    moved = [tensor for tensor in tensors if isinstance(tensor, _Moved)]
    if moved and func not in _MOVES:
        checked = tensors[:1] if func in _INDEXING else tensors
        strays = [tensor for tensor in checked if not isinstance(tensor, _Moved) and tensor.ndim]
        if strays:
            raise RuntimeError(f"{func} takes tensors of both devices; on the CPU is one of shape {strays[0].shape}")
    wanted = kwargs.get("device")
    there = bool(moved) if wanted is None else torch.device(wanted) == DEVICE
    if func is _aten.copy_.default:
        there = isinstance(args[0], _Moved)
    if wanted is not None:
        kwargs = kwargs | {"device": torch.device("cpu")}
    result = func(*tree_map_only(_Moved, _held, args), **tree_map_only(_Moved, _held, kwargs))
    known = {id(tensor.held): tensor for tensor in moved}
    # An operation in place gives back the tensor that it changed.
    return (
        tree_map_only(Tensor, lambda one: known[id(one)] if id(one) in known else _Moved(one), result)
        if there
        else result
    )


def _held(tensor: Any) -> Tensor:
    held: Tensor = tensor.held
    return held


@contextmanager
def second_device() -> Iterator[torch.device]:
    """The second device, usable within the block."""
    with _Factories():  # type: ignore[no-untyped-call]
        yield DEVICE
