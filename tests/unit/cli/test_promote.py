"""``winnow promote``, ``rollback``, ``releases`` and ``diff`` in a home without a stack."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.support.lifecycle.homes import add_release
from winnow.cli.app import commands
from winnow.lifecycle.live import live


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A home with releases 1 to 5."""
    monkeypatch.setenv("WINNOW_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    for number in range(1, 6):
        add_release(tmp_path, number)
    return str(tmp_path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(commands, arguments)


def test_a_release_that_the_gate_refuses_is_not_promoted(home: str) -> None:
    assert run("promote", "1", "--no-gate").exit_code == 0
    before = live(home)
    refused = run("promote", "2")
    assert refused.exit_code == 3, refused.output
    assert "refused" in refused.output
    assert live(home) == before
    skipped = run("promote", "2", "--no-gate")
    assert "release 2 is not judged by the gate (--no-gate)" in skipped.output
    assert "release 2 is live; `winnow rollback` goes back to 1. No stack is running" in skipped.output
    assert run("rollback").output.startswith("release 1 is live")


def test_releases_are_listed_and_old_ones_collected(home: str) -> None:
    run("promote", "1", "--no-gate")
    run("promote", "2")
    listed = json.loads(run("releases", "--json", "--keep", "2").stdout)
    states = {row["release"]: (row["state"], row["gate"]) for row in listed["releases"]}
    assert states == {1: (["live"], ""), 2: (["old"], "refused"), 3: (["old"], ""), 4: ([], ""), 5: ([], "")}
    assert listed["removed"] == []
    sizes = sum(row["bytes"] for row in listed["releases"] if row["release"] in (2, 3))
    collected = run("releases", "--collect", "--keep", "2")
    assert f"removed 2 releases: {sizes / 1e6:,.1f} MB are free" in collected.output
    assert [row["release"] for row in json.loads(run("releases", "--json").stdout)["releases"]] == [1, 4, 5]


def test_differences_are_shown_by_section(home: str) -> None:
    shown = run("diff", "1", "2").output
    assert [line.split() for line in shown.splitlines()[1:3]] == [["build"], ["data", "set", "tiny-1", "tiny-2"]]
    assert run("diff", "1", "1").output == "releases 1 and 1 do not differ\n"
