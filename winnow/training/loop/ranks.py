"""PLACEHOLDER until merged."""

from collections.abc import Sequence

from torch import Tensor


class Ranks:
    rank, world = 0, 1

    def all_reduce_sum(self, tensors: Sequence[Tensor]) -> None: ...
    def share(self, n: int) -> slice:
        return slice(0, n)

    def sum(self, x: float) -> float:
        return x

    def agreed(self, x: bool) -> bool:
        return x
