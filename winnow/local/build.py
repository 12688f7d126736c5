"""Runs the pipeline of a build in a child process."""

import os
import signal
import sys
import tempfile
from pathlib import Path

from winnow import home
from winnow.errors import WinnowError
from winnow.home import taken
from winnow.local.processes import end_group, spawn_child
from winnow.release import BuildInputs
from winnow.result import VARIABLE, RunResult


class BuildFailed(WinnowError):
    """The pipeline ended without a release; the message is the pipeline's."""

    def __init__(self, outcome: RunResult) -> None:
        super().__init__(outcome.error)
        self.exit_code = outcome.exit_code


def build_release(source: BuildInputs, holdout: str, resume: bool = False, profile: Path | None = None) -> int:
    """Build the next release of this home. The pipeline and its steps end when this process ends, in any way.

    Args:
        source: the data to build from.
        holdout: ``last`` holds out the end of every user's log, ``none`` uses all events.
        resume: continue the failed build after its last complete step.
        profile: folder that gets traces of a few training steps.

    Returns:
        Number of the release.

    Raises:
        BuildFailed: the pipeline failed; has the exit code of the failure.
    """
    pipeline_name, others = (
        ("incremental", {"encoders", "training"}) if source.from_release else ("build", {"from_release"})
    )
    command = [sys.executable, "-P", "-m", "kfp_pipelines", pipeline_name, f"--holdout={holdout}"]
    command += [f"--{name.replace('_', '-')}={value}" for name, value in source.model_dump(exclude=others).items()]
    command += ["--resume"] if resume else []
    command += [f"--profile={profile.resolve()}"] if profile else []
    with tempfile.TemporaryDirectory(prefix="winnow-") as folder:
        path = Path(folder) / "outcome.json"
        pipeline = spawn_child(command, os.environ | {VARIABLE: str(path)})
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


def lock() -> Path:
    """The file that a running pipeline of this home holds locked."""
    return home.pipelines() / "lock"


def is_running() -> bool:
    """Whether a pipeline runs in this home."""
    try:
        file = lock().open()
    except FileNotFoundError:
        return False
    with file:
        return not taken(file, shared=True)
