"""A training of a few numbers: ``torchrun -m tests.support.training.replicated_training CHECKPOINTS STEPS OUT``.

It continues from the newest checkpoint, saves one after every step if there is time, and writes what each rank has to
``OUT/RANK.json``. With the environment variable ``KILLED_AT`` the last rank kills itself at that step, once.
"""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from winnow.settings.training import ComputeSettings
from winnow.training.loop.checkpoints import Checkpoints
from winnow.training.loop.ranks import Ranks, joined

BATCH = 7
"""Not a multiple of the ranks, and less than three per rank."""


def train(address: str, steps: int, ranks: Ranks) -> dict[str, object]:
    """Train up to a step.

    Returns:
        Where the training began, and the weights that it ended with.
    """
    checkpoints = Checkpoints(address, "replicated training", every_minutes=0, keep=2, ranks=ranks)
    state = {"weights": torch.zeros(4), "steps": torch.zeros((), dtype=torch.int64)}
    found = checkpoints.newest()
    if found is not None:
        found.load(state)
    began = int(state["steps"])
    for step in range(began, steps):
        if str(step) == os.environ.get("KILLED_AT") and _last_of_the_first_start(ranks):
            os.kill(os.getpid(), signal.SIGKILL)
        _learn(state["weights"], step, ranks)
        state["steps"] += 1
        if checkpoints.due():
            checkpoints.save({"step": step + 1}, state)
    checkpoints.save({"step": steps}, state)
    checkpoints.close()
    ranks.barrier()
    return {"began": began, "position": found and found.position, "weights": state["weights"].tolist()}


def _last_of_the_first_start(ranks: Ranks) -> bool:
    return ranks.rank == ranks.world - 1 and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"


def _learn(weights: Tensor, step: int, ranks: Ranks) -> None:
    batch = torch.from_numpy(np.random.default_rng(step).normal(size=(BATCH, 4))).float()
    gradient, seen = torch.zeros(4), torch.zeros((), dtype=torch.int64)
    for row in batch[ranks.share(BATCH)]:
        gradient += weights - row
        seen += 1
    ranks.all_reduce_sum([gradient, seen])
    weights -= 0.1 * gradient / seen


def main() -> None:
    """Run one rank."""
    address, steps, out = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    with joined(ComputeSettings(device="cpu")) as ranks:
        seen = {
            "world": ranks.world,
            "restarts": int(os.environ["TORCHELASTIC_RESTART_COUNT"]),
            "share": list(range(BATCH))[ranks.share(BATCH)],
            "sum": ranks.sum(ranks.rank + 0.5),
            "first": ranks.first(ranks.rank + 5),
            "agreed": ranks.agreed(ranks.rank == 0),
            **train(address, steps, ranks),
        }
    (out / f"{ranks.rank}.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    main()
