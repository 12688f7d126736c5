"""Run the retraining pipeline: a process of its own, that ends with this one."""

import os
import signal
import sys
import tempfile
from pathlib import Path

from winnow.errors import WinnowError
from winnow.local.processes import end_group, tethered
from winnow.release import BuildInputs
from winnow.result import VARIABLE, RunResult


class BuildFailed(WinnowError):
    """The pipeline ended without a release; the message is what it said."""

    def __init__(self, outcome: RunResult) -> None:
        super().__init__(outcome.error)
        self.exit_code = outcome.exit_code


def retrain(source: BuildInputs, holdout: str, resume: bool = False) -> int:
    """Build the next release of this home. However this process ends, so do the pipeline and its steps.

    Args:
        source: what to build from.
        holdout: ``last`` keeps every user's last event out, ``none`` keeps all.
        resume: go on after the last whole step of the build that failed.

    Returns:
        The release's number.

    Raises:
        BuildFailed: there is none; carries the exit code.
    """
    command = [sys.executable, "-P", "-m", "kfp_pipelines", "retraining", f"--holdout={holdout}"]
    command += [f"--{name}={value}" for name, value in source.model_dump().items()]
    command += ["--resume"] if resume else []
    with tempfile.TemporaryDirectory(prefix="winnow-") as folder:
        path = Path(folder) / "outcome.json"
        pipeline = tethered(command, os.environ | {VARIABLE: str(path)})
        try:
            code = pipeline.wait()
        finally:
            end_group(pipeline, grace=5.0)
        outcome = RunResult.read(path)
    if outcome is None or (code and not outcome.error):
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        outcome = RunResult(error=f"the pipeline's process was ended ({how}) before it could say why", exit_code=1)
    if outcome.release is None:
        raise BuildFailed(outcome)
    return outcome.release
