"""Another library's SASRec, RecTools', with the data and the split of Winnow's figures, in an environment of its own.

RecTools' SASRec learns a target at every position of a sequence. RecBole's learns one per sequence, so that it hardly
ends an epoch on two cores in the time of this benchmark.
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.support.paths import ROOT
from winnow import home
from winnow.errors import WinnowError
from winnow.ranking.metrics import ndcg, recall

REQUIREMENTS = ("rectools[torch]==0.19.0", "torch==2.15.0")
"""In an environment of their own: RecTools needs NumPy 1 and pandas 2."""

SCRIPT = Path(__file__).with_name("rectools_sasrec.py")

_SLACK_SECONDS = 1200
"""For all that the budget does not count: reading, the last validation, and the lists of all users."""


@dataclass(frozen=True)
class Peer:
    """The peer's figures.

    Attributes:
        targets_per_second: target positions learned per second of training steps, without the validations.
        ndcg: ndcg@10 of every user's last event, all items ranked, seen ones left out.
        recall: recall@10 of the same lists.
        epochs: that were validated; the last may have been cut short.
        stopped_by_patience: whether the validation ended the training; ``False`` where the time did.
        seconds: of the training with its validations.
    """

    targets_per_second: float
    ndcg: float
    recall: float
    epochs: int
    stopped_by_patience: bool
    seconds: float


def measure(interactions: Path, minutes: float) -> Peer:
    """Train RecTools' SASRec, and rank the catalog for every user's last event.

    Args:
        interactions: a RecBole atomic file (``.inter``) with the columns user_id, item_id and timestamp; ids are
            integers from 1.
        minutes: budget of the training.

    Raises:
        WinnowError: the environment cannot be made, or the training fails.
    """
    python = _environment(home.home() / "rectools")
    with tempfile.TemporaryDirectory(prefix="winnow-peer-") as folder:
        out = Path(folder)
        command = [str(python), "-W", "ignore", str(SCRIPT), str(interactions.resolve()), str(minutes), str(out)]
        _run(command, 60 * minutes + _SLACK_SECONDS, out)
        result = json.loads((out / "result.json").read_text())
        top, held_out = (np.load(out / f"{name}.npy", allow_pickle=False) for name in ("top", "held_out"))
    return Peer(
        targets_per_second=result["targets_per_second"],
        ndcg=ndcg(top, held_out, 10),
        recall=recall(top, held_out, 10),
        epochs=result["epochs"],
        stopped_by_patience=result["stopped_by_patience"],
        seconds=result["seconds"],
    )


def _environment(folder: Path) -> Path:
    """The environment's interpreter; a second call finds it made."""
    python, uv = folder / "bin" / "python", ROOT / ".tools" / "uv" / "bin" / "uv"
    if not uv.is_file():
        raise WinnowError("uv is missing: run `make setup`, which fetches it")
    if not (folder / ".made").is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        _run([str(uv), "venv", "--quiet", "--clear", "--python", version, str(folder)], 300)
        _run([str(uv), "pip", "install", "--quiet", "--python", str(python), *REQUIREMENTS], 1800)
        (folder / ".made").touch()
    return python


def _run(command: list[str], seconds: float, directory: Path | None = None) -> None:
    """Run a command whose output is the benchmark's standard error."""
    try:
        ended = subprocess.run(  # noqa: S603
            command, stdout=sys.stderr, timeout=seconds, cwd=directory
        )
    except subprocess.TimeoutExpired:
        raise WinnowError(f"the peer's {Path(command[0]).name} did not end within {seconds:.0f} s") from None
    if ended.returncode:
        raise WinnowError(f"the peer's {Path(command[0]).name} ended with exit code {ended.returncode}")
