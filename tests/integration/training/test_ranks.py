"""Processes that ``torchrun`` starts train together, and continue with another number of them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.support.paths import ROOT
from tests.support.training.replicated_training import BATCH, train
from winnow.settings.training import ComputeSettings
from winnow.training.loop.ranks import Ranks, joined


def torchrun(
    processes: int, checkpoints: Path, steps: int, out: Path, killed_at: int | None = None
) -> list[dict[str, object]]:
    out.mkdir()
    environment = os.environ | {"OMP_NUM_THREADS": "1", "KILLED_AT": str(killed_at)}
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    run += ["--max-restarts", "1"]
    command = [*run, "-m", "tests.support.training.replicated_training", str(checkpoints), str(steps), str(out)]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stderr[-4000:]
    return [json.loads((out / f"{rank}.json").read_bytes()) for rank in range(processes)]


def test_a_process_on_its_own_needs_no_group() -> None:
    with joined(ComputeSettings(device="cpu")) as ranks:
        assert (ranks.rank, ranks.world, ranks.first(7), ranks.agreed(False), ranks.sum(1.5)) == (0, 1, 7, False, 1.5)
        assert list(range(BATCH))[ranks.share(BATCH)] == list(range(BATCH))
        assert not torch.distributed.is_initialized()


@pytest.mark.slow
def test_another_number_of_ranks_continues_with_the_same_result_even_if_one_is_killed(tmp_path: Path) -> None:
    alone = train(str(tmp_path / "alone"), 9, Ranks())["weights"]

    two = torchrun(2, tmp_path / "checkpoints", 3, tmp_path / "two")
    assert [seen["world"] for seen in two] == [2, 2]
    assert [seen["share"] for seen in two] == [[0, 2, 4, 6], [1, 3, 5]]
    assert [(seen["sum"], seen["first"], seen["agreed"]) for seen in two] == [(2.0, 5, True)] * 2
    assert two[0]["weights"] == two[1]["weights"]

    one = train(str(tmp_path / "checkpoints"), 6, Ranks())
    assert (one["began"], one["position"]) == (3, {"step": 3})

    three = torchrun(3, tmp_path / "checkpoints", 9, tmp_path / "three", killed_at=8)
    began = three[0]["began"]
    assert began in (6, 7, 8)
    for seen in three:
        assert (seen["world"], seen["restarts"], seen["began"], seen["position"]) == (3, 1, began, {"step": began})
        assert seen["weights"] == pytest.approx(alone, abs=1e-6)
