"""`winnow gate` where it cannot judge by an evaluation: it still names what it found, and refuses."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.support.lifecycle.copies import held_out
from tests.support.tiny_release import write_release
from winnow.cli.app import commands
from winnow.lifecycle.live import promote
from winnow.release import Release
from winnow.settings.file import SettingsError

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command in a home with release 1, without a profile of its data: it is never served."""
    monkeypatch.setenv("WINNOW_HOME", str(tmp_path))
    monkeypatch.delenv("REDIS_URL", raising=False)
    write_release(tmp_path / "releases", 1)
    (tmp_path / "model_repository" / "1").mkdir(parents=True)
    return lambda *arguments: CliRunner().invoke(commands, ["gate", *arguments])


def refusals(result: Result) -> list[str]:
    assert result.exit_code == 3, result.output
    return [line for line in result.stderr.splitlines() if ": metrics: " in line]


def test_without_a_twin_without_an_evaluation_and_with_an_old_one(run: Run, tmp_path: Path) -> None:
    [missing] = refusals(run("1"))
    assert (
        "release 1 has not been evaluated: run `winnow evaluate 1`, which builds a release of the same data" in missing
    )
    twin = held_out(_release(tmp_path), tmp_path, 2)
    [missing] = refusals(run("1"))
    assert "was built like release 1 for evaluation, has not been evaluated: run `winnow evaluate 1`" in missing
    record = tmp_path / "evaluations" / "2" / "record.json"
    record.parent.mkdir(exist_ok=True)
    record.write_text("{}")
    pin = promote(str(tmp_path), 1)
    os.utime(record, (0, pin.since.timestamp() - 1))
    [missing] = refusals(run("2"))
    assert "release 2 was evaluated before the live release became live: run `winnow evaluate 2`" in missing
    os.utime(record)
    assert twin.manifest.number == 2
    result = run("2")
    assert result.exit_code == 1
    assert "record.json is not the record of an evaluation by this version of Winnow" in str(result.exception)


def test_wrong_rules_are_refused_before_anything_is_read(run: Run, tmp_path: Path) -> None:
    (tmp_path / "gate.yaml").write_text("load: {p99: 1}")
    result = run("99")
    assert isinstance(result.exception, SettingsError)
    assert result.exception.exit_code == 2
    assert "gate.yaml: load.p99: unknown; load takes per_second, seconds, p99_ms, degraded" in str(result.exception)


def _release(home: Path) -> Release:
    return Release.open(home / "releases" / "1")
