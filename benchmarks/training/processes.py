"""Do several processes train as one does, and does a killed one go on? ``torchrun`` with gloo on this machine."""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from benchmarks.common.rows import Row, row
from benchmarks.training.subjects import extracted
from tests.support.paths import ROOT
from tests.support.training.rank_losses import losses
from winnow.errors import WinnowError
from winnow.features.table import FeatureSet
from winnow.settings.training import RetrieverSettings
from winnow.training.loop.ranks import Ranks
from winnow.training.train import RESULT, TrainingResult

STEPS, KILLS, SEED = 100, 10, 0
SETTINGS = RetrieverSettings(dropout=0.0, id_dropout=0.0, content_dropout=0.0, max_epochs=6)
"""Without dropout, whose random numbers differ from process to process."""

_LONGEST_S = 3600


def measure() -> list[Row]:
    """MovieLens 100K: losses of two processes beside those of one, ten kills, and another number of processes."""
    with tempfile.TemporaryDirectory(prefix="winnow-processes-") as scratch:
        folder = Path(scratch)
        features = extracted("ml-100k", folder)
        one = losses(FeatureSet.load(features), SETTINGS, STEPS, Ranks())
        arguments = [str(features), SETTINGS.model_dump_json(), str(STEPS), str(folder)]
        _wait(_torchrun(2, ["tests.support.training.rank_losses", *arguments]))
        two = np.sum([json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)], axis=0)
        alone = _trained(features, folder / "alone", 1, 0)
        killed = _trained(features, folder / "killed", 2, KILLS)
    return [
        row(f"largest difference of the first {STEPS} losses, two processes", np.abs(two - one).max(), "", "<= 1e-4"),
        row("ndcg@10 of the validation, one process", alone, ""),
        row(f"ndcg@10, two processes, one of them killed {KILLS} times", killed, ""),
        row("the same, relative difference", abs(killed / alone - 1), "", "<= 0.01"),
    ]


def _torchrun(processes: int, arguments: list[str]) -> "subprocess.Popen[bytes]":
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [*run, "--max-restarts", str(KILLS + 1), "-m", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=sys.stderr)  # noqa: S603


def _trained(features: Path, out: Path, processes: int, kills: int) -> float:
    """Train, while a process is killed again and again; the result is the validation's ndcg@10."""
    out.mkdir()
    (out / "training.yaml").write_text(f"retriever: {SETTINGS.model_dump_json()}\nranker: {{epochs: 1}}\n")
    options = {"features": features, "settings": out / "training.yaml", "checkpoints": out / "checkpoints"}
    options |= {name: out / name for name in ("retriever", "ranker")}
    arguments = [f"--{name}={value}" for name, value in options.items()]
    torchrun = _torchrun(processes, ["winnow.training", *arguments, "--checkpoint-minutes=0.05"])
    rng = random.Random(SEED)  # noqa: S311
    for _ in range(kills):
        _progress(torchrun, out / "checkpoints")
        time.sleep(rng.uniform(0, 3))
        workers = psutil.Process(torchrun.pid).children()
        if workers:
            rng.choice(workers).send_signal(signal.SIGKILL)
    _wait(torchrun)
    result = TrainingResult.model_validate_json((out / "retriever" / RESULT).read_bytes())
    return result.metrics["retriever_validation_ndcg@10"]


def _progress(torchrun: "subprocess.Popen[bytes]", checkpoints: Path) -> None:
    """Wait until a checkpoint is written that was not there before."""
    before = set(checkpoints.glob("*/*/manifest.json"))
    while torchrun.poll() is None and not set(checkpoints.glob("*/*/manifest.json")) - before:
        time.sleep(0.05)
    if torchrun.returncode is not None:
        raise WinnowError(f"the training ended with exit code {torchrun.returncode} before it was killed often enough")


def _wait(torchrun: "subprocess.Popen[bytes]") -> None:
    if torchrun.wait(_LONGEST_S):
        raise WinnowError(f"torchrun ended with exit code {torchrun.returncode}")
