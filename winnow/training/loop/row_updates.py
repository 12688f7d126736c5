"""Updates of an embedding table that cost what the rows of a step cost, however many rows the table has."""

import math

import torch
from torch import Tensor

from winnow.training.loop.running_mean import kept


class RowUpdates:
    """Lazy Adam on the rows of a table, with a running mean of every row.

    A row moves, and its moments decay, in the steps that have a gradient for it. The first moment is a vector per row;
    the second is a number per row, its mean square over the columns (row-wise, as in FBGEMM's partial row-wise Adam).
    The running mean equals the one that is updated in every step: a row that has rested is brought up to date when it
    is next needed.

    Args:
        table: float32 [n, D], changed in place.
        betas: decay of the two moments.
    """

    def __init__(self, table: Tensor, betas: tuple[float, float]) -> None:
        self._table, self._betas = table, betas
        self._first = torch.zeros_like(table)
        self._second = torch.zeros(len(table), device=table.device)
        self._steps = torch.zeros(len(table), device=table.device)
        self._mean = table.clone()
        # The sum of the logarithms of the steps' kept shares, now and when each row was last brought up to date.
        self._decay = torch.zeros((), dtype=torch.float64)
        self._decay_of_row = torch.zeros(len(table), dtype=torch.float64, device=table.device)

    @torch.no_grad()
    def update(self, rows: Tensor, gradient: Tensor, rate: float, step: int) -> None:
        """Take a step.

        Args:
            rows: int64 [k], each once.
            gradient: float32 [k, D].
            rate: learning rate.
            step: number of the step, from 1.
        """
        self._refresh(rows)
        slow, fast = self._betas
        first = self._first[rows].lerp_(gradient, 1 - slow)
        second = self._second[rows].lerp_(gradient.square().mean(1), 1 - fast)
        taken = self._steps[rows] + 1
        self._first[rows], self._second[rows], self._steps[rows] = first, second, taken
        scale = rate / (1 - slow**taken) / ((second / (1 - fast**taken)).sqrt() + 1e-8)
        self._table[rows] -= first * scale.unsqueeze(1)
        self._decay += math.log(kept(step))
        self._refresh(rows)

    def _refresh(self, rows: Tensor) -> None:
        """Bring the mean of some rows up to date: they have not changed since they last were."""
        share = torch.exp(self._decay - self._decay_of_row[rows]).float().unsqueeze(1)
        self._mean[rows] = torch.lerp(self._table[rows], self._mean[rows], share)
        self._decay_of_row[rows] = self._decay

    @torch.no_grad()
    def mean(self) -> Tensor:
        """The running mean of the whole table, float32 [n, D]."""
        for first in range(0, len(self._table), 65_536):
            self._refresh(torch.arange(first, min(first + 65_536, len(self._table)), device=self._table.device))
        return self._mean

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps, to be changed in place."""
        return {
            "first": self._first,
            "second": self._second,
            "steps": self._steps,
            "mean": self._mean,
            "decay": self._decay,
            "decay_of_row": self._decay_of_row,
        }
