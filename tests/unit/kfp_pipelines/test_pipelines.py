"""The pipelines compile with kfp's own command; a run prints to the console and returns its result in a file."""

import errno
import io
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from kfp_pipelines.console import StepConsole
from tests.support.paths import ROOT
from winnow.errors import DataError, WinnowError
from winnow.result import VARIABLE, RunResult, reported


@pytest.mark.parametrize(
    ("pipeline", "steps"),
    [
        ("feature_extraction", {"ingest", "encode", "extract"}),
        ("retraining", {"feature-extraction", "train", "release"}),
        ("incremental", {"ingest", "reuse-encoders", "extract", "go-on", "release"}),
    ],
)
def test_kfp_compiles_the_package(pipeline: str, steps: set[str], tmp_path: Path) -> None:
    package = tmp_path / f"{pipeline}.yaml"
    command = [Path(sys.executable).with_name("kfp"), "dsl", "compile"]
    subprocess.run(
        [*command, "--py", ROOT / "kfp_pipelines" / f"{pipeline}.py", "--output", package],
        check=True,
        capture_output=True,
        cwd=ROOT,
    )
    compiled = next(iter(yaml.safe_load_all(package.read_text())))
    assert set(compiled["root"]["dag"]["tasks"]) == steps
    assert compiled["pipelineInfo"]["name"] == pipeline.replace("_", "-")
    if pipeline == "retraining":
        artifacts = compiled["components"]["comp-train"]["outputDefinitions"]["artifacts"]
        assert artifacts["retriever"]["artifactType"]["schemaTitle"] == "system.Model"


def test_the_console_logs_everything_and_shows_steps_and_marked_lines() -> None:
    log, terminal = io.StringIO(), io.StringIO()
    screen = StepConsole(log, terminal)
    said = "12:00:01 - INFO - Executing task \x1b[96m'ingest'\x1b[0m\n    chatter\n    winnow: 7 pictures skipped\n"
    screen.write(said)
    assert log.getvalue() == said
    assert terminal.getvalue() == "▸ ingest\n  7 pictures skipped\n"
    assert screen.step == "ingest"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (DataError("two problems\n  1. é"), RunResult(error="two problems\n  1. é", exit_code=2)),
        (WinnowError("no such model"), RunResult(error="no such model", exit_code=1)),
    ],
)
def test_the_error_of_a_step_is_passed_on(
    error: WinnowError, expected: RunResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "outcome.json"))
    with pytest.raises(type(error)), reported():
        raise error
    assert RunResult.read(tmp_path / "outcome.json") == expected
    assert [path.name for path in tmp_path.iterdir()] == ["outcome.json"]


def test_a_full_disk_is_reported_and_a_bug_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "outcome.json"
    monkeypatch.setenv(VARIABLE, str(path))
    for bug in (ValueError("cannot reshape"), FileNotFoundError(errno.ENOENT, "No such file", "weights.pt")):
        with pytest.raises(type(bug)), reported():
            raise bug
        assert RunResult.read(path) is None
    for where in ("/home/models", None):
        with pytest.raises(OSError, match="No space"), reported():
            raise OSError(errno.ENOSPC, "No space left on device", where)
        outcome = RunResult.read(path)
        assert outcome is not None
        said = f"{where}: " if where else ""
        assert outcome.error.startswith(f"{said}No space left on device. Make room")


def test_on_the_cluster_an_error_is_raised_and_nothing_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError), reported():
        raise DataError("two problems")
    assert not list(tmp_path.iterdir())
