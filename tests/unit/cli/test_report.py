"""`winnow report` finds the evaluation of a release, and says what is missing."""

from pathlib import Path

import pytest

from tests.support.reporting.evaluations import record
from tests.support.tiny_release import write_release
from winnow.cli.releases.report import evaluated, report
from winnow.errors import WinnowError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with releases 1 to 3, of the same inputs."""
    monkeypatch.setenv("WINNOW_HOME", str(tmp_path))
    for number in (1, 2, 3):
        write_release(tmp_path / "releases", number)
    return tmp_path


def evaluate(home: Path, number: int) -> None:
    folder = home / "evaluations" / str(number)
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(record().model_dump_json())


def test_the_report_is_of_the_release_or_of_the_newest_one_of_its_inputs(home: Path) -> None:
    evaluate(home, 1)
    evaluate(home, 2)
    assert evaluated(None) == 2
    assert evaluated(1) == 1
    assert evaluated(3) == 2
    manifest = home / "releases" / "3" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"data": ""', '"data": "/elsewhere"'))
    with pytest.raises(
        WinnowError, match=r"no release of the inputs of release 3 was evaluated in .*: run `winnow evalu"
    ):
        evaluated(3)


def test_without_an_evaluation_or_a_release_the_command_says_what_to_run(home: Path) -> None:
    with pytest.raises(WinnowError, match=r"no release was evaluated in .*: run `winnow evaluate` first"):
        report()
    with pytest.raises(WinnowError, match="no release at"):
        report(9)


def test_the_path_is_printed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate(home, 2)
    report()
    path = Path(capsys.readouterr().out.strip())
    assert path == home / "evaluations" / "2" / "report.html"
    assert path.read_text().startswith("<!doctype html>")
