"""Updates of the rows of a table, and their lazy running mean."""

import numpy as np
import torch

from winnow.training.loop.row_updates import RowUpdates
from winnow.training.loop.running_mean import kept


def test_only_the_rows_of_a_step_move_and_the_mean_is_that_of_every_step() -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    table = torch.randn(9, 4)
    expected = table.clone()
    updates = RowUpdates(table, (0.9, 0.98))
    for step in range(1, 60):
        before = table.clone()
        rows = torch.from_numpy(np.sort(rng.choice(9, 3, replace=False)))
        updates.update(rows, torch.randn(3, 4), 0.01, step)
        resting = torch.ones(9, dtype=torch.bool)
        resting[rows] = False
        torch.testing.assert_close(table[resting], before[resting], rtol=0, atol=0)
        assert (table[rows] != before[rows]).all()
        expected = torch.lerp(table, expected, kept(step))
    torch.testing.assert_close(updates.mean(), expected, rtol=1e-4, atol=1e-5)


def test_a_row_reaches_the_minimum_of_its_loss() -> None:
    table, wanted = torch.zeros(5, 3), torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    updates = RowUpdates(table, (0.9, 0.98))
    for step in range(1, 801):
        rows = torch.tensor([step % 5])
        updates.update(rows, table[rows] - wanted[rows], 0.05 if step < 600 else 0.005, step)
    torch.testing.assert_close(table, wanted, atol=0.02, rtol=0)
