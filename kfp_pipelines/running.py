"""Run a pipeline's own definition on this machine: one run at a time per home, its steps in this process group."""

import os
import shlex
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import typer
from kfp import local

from kfp_pipelines.console import StepConsole
from kfp_pipelines.parameters import check_settings
from kfp_pipelines.unfinished import Started, Unfinished
from winnow import home
from winnow.errors import WinnowError, as_winnow_error
from winnow.home import held
from winnow.result import VARIABLE, RunResult

TAIL_LINES = 15
"""Of the step's log, shown where a step fails unexpectedly."""


# kfp.local looks for "python" in the image's name, although it runs the steps in this environment.
warnings.filterwarnings("ignore", "You may be attemping to run a task", RuntimeWarning)


def run(pipeline: object, resume: bool = False, **arguments: str | int) -> None:
    """Run ``pipeline`` through ``kfp.local`` in this environment, and write its :class:`RunResult`.

    The outcome goes into the file that the environment variable names, for the parent process; without one, the error
    or the release's number is printed.

    Args:
        pipeline: a pipeline defined with ``dsl.pipeline``.
        resume: continue after the last whole step of the unfinished run with the same arguments.
        arguments: of the pipeline.

    Raises:
        typer.Exit: it failed.
    """
    given = os.environ.get(VARIABLE)
    root = home.pipelines()
    refusal = (
        f"a build runs already in {home.home()}; wait until it has ended, or give the second one a home of its own "
        "(WINNOW_HOME)"
    )
    try:
        with held(root / "lock", refusal), _whole_group():
            outcome = _run(pipeline, root, resume, arguments)
    except (WinnowError, OSError) as error:
        shown = as_winnow_error(error)
        if shown is None:
            raise
        outcome = RunResult.of(shown)
    if given:
        outcome.write(Path(given))
    elif outcome.error:
        typer.echo(f"winnow: {outcome.error}", err=True)
    elif outcome.release is not None:
        typer.echo(outcome.release)
    raise typer.Exit(outcome.exit_code)


def _run(pipeline: object, root: Path, resume: bool, arguments: dict[str, str | int]) -> RunResult:
    check_settings(arguments)
    unfinished = Unfinished(root / "unfinished")
    started = Started.now(str(getattr(pipeline, "name", "")), arguments)
    if resume:
        typer.echo(unfinished.resume(started), err=True)
    else:
        unfinished.begin(started)
    local.init(
        runner=local.SubprocessRunner(use_venv=False),
        pipeline_root=str(root),
        raise_on_error=True,
        enable_caching=True,
        cache_root=str(unfinished.steps),
    )
    stem = f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
    log_path, step_outcome = root / f"{stem}.log", root / f"{stem}.json"
    os.environ[VARIABLE] = str(step_outcome)
    with log_path.open("w", encoding="utf-8") as log:
        console = StepConsole(log, sys.stderr)
        try:
            with redirect_stdout(console), _quoted_interpreter():
                outputs: dict[str, object] = pipeline(**arguments).outputs  # type: ignore[operator]  # kfp: untyped
        except RuntimeError as failure:
            return RunResult.read(step_outcome) or _bug(console.step, failure, log_path, unfinished)
    unfinished.end()
    number = outputs.get("Output")
    return RunResult(release=int(str(number)) if number is not None else None)


def _bug(step: str, failure: RuntimeError, log: Path, unfinished: Unfinished) -> RunResult:
    """The outcome of a run with an unexpected error: the end of the step's log, and the path of the whole log."""
    lines = log.read_text(encoding="utf-8").splitlines()
    # A step's own lines are indented; the runner's lines after them are not.
    tail = [line for line in lines if line.startswith("    ") and line.strip()][-TAIL_LINES:]
    where = f"step {step} failed unexpectedly" if step else str(failure)
    retry = "; once its cause is fixed, --resume continues from there" if unfinished.done() else ""
    return RunResult(error="\n".join([f"{where}{retry}. The whole log: {log}", *tail]), exit_code=1)


@contextmanager
def _quoted_interpreter() -> Iterator[None]:
    """Let kfp find an interpreter under a path with a space: it puts the path into a shell script unquoted."""
    interpreter = sys.executable
    sys.executable = shlex.quote(interpreter)
    try:
        yield
    finally:
        sys.executable = interpreter


@contextmanager
def _whole_group() -> Iterator[None]:
    """On SIGTERM, end this process and all its steps, where they are a process group of their own."""
    if os.getpgrp() != os.getpid():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        os.killpg(0, signal.SIGKILL)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
