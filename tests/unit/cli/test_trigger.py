"""`winnow trigger` up to the start of a run, in a home without Redis: only exports."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.support.lifecycle.homes import add_release
from winnow.cli.app import commands
from winnow.errors import WinnowError
from winnow.feedback import export_files
from winnow.home import held
from winnow.lifecycle.live import promote
from winnow.lifecycle.trigger.pause import Start, Starts
from winnow.local.build import lock
from winnow.settings.file import SettingsError

Run = Callable[..., Result]
ONE_EVENT = "{volume: {absolute: 1, relative: null}}"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("WINNOW_HOME", str(tmp_path))
    monkeypatch.delenv("REDIS_URL", raising=False)
    add_release(tmp_path, 1)
    return lambda *arguments: CliRunner().invoke(commands, ["trigger", *arguments])


def export(home: Path) -> None:
    """Write an export with one event, later than the releases."""
    now = int(time.time() * 1000) + 1000
    row = {"user_id": "u", "item_id": "i", "event": "view", "timestamp": now, "stream_id": f"{now}-0"}
    export_files.write(str(home / "events"), export_files.EVENT_TABLE, [row])


def message(result: Result) -> str:
    assert isinstance(result.exception, WinnowError), result.output
    return str(result.exception)


def test_without_a_live_release_there_is_nothing_to_compare(run: Run, tmp_path: Path) -> None:
    assert f"no release of {tmp_path} is live" in message(run())


def test_exports_alone_are_counted_and_a_dry_run_says_what_would_start(run: Run, tmp_path: Path) -> None:
    promote(str(tmp_path), 1)
    (tmp_path / "trigger.yaml").write_text(ONE_EVENT)
    quiet = run("--dry-run")
    assert quiet.exit_code == 0, quiet.output
    assert "nothing is due" in quiet.output
    export(tmp_path)
    due = run("--dry-run")
    assert due.exit_code == 4
    assert "due: volume: absolute" in due.output
    described = run("--dry-run", "--json")
    assert described.exit_code == 4
    found = json.loads(described.stdout)
    assert (found["release"], found["due"], found["waits"]) == (1, True, "")
    rules = {rule["name"]: rule for rule in found["rules"]}
    assert rules["volume: absolute"] == {
        "name": "volume: absolute",
        "value": 1.0,
        "bound": 1.0,
        "fired": True,
        "message": "events since the data of release 1 ended: 1",
    }
    assert (
        rules["drift: categories"]["message"]
        == "not measured: of 1,000 new events that are compared at least, there are 1"
    )
    assert Starts(str(tmp_path)).last is None
    elsewhere = run("--dry-run", "--exports", str(tmp_path / "none"))
    assert elsewhere.exit_code == 0
    assert "not measured: there is no event stream" in elsewhere.output.replace("\n", " ")


def test_no_run_starts_in_the_pause_nor_beside_a_build(run: Run, tmp_path: Path) -> None:
    promote(str(tmp_path), 1)
    (tmp_path / "trigger.yaml").write_text(ONE_EVENT)
    export(tmp_path)
    with held(lock(), "held by this test"):
        beside = run()
    assert (beside.exit_code, Starts(str(tmp_path)).last) == (0, None)
    assert f"a build runs already in {tmp_path}: none was started" in beside.output
    assert Starts(str(tmp_path)).record(Start(at=datetime.now(UTC), fired=("volume: absolute",)))
    for arguments in ((), ("--dry-run",)):
        paused = run(*arguments)
        assert paused.exit_code == 0, paused.output
        assert "a run was started 0.0 hours ago; the next one may start after 20 (pause_hours)" in paused.output


def test_wrong_options_and_rules_are_refused(run: Run, tmp_path: Path) -> None:
    assert "--endpoint and --home belong together" in message(run("--endpoint", "http://localhost:1"))
    assert "must be an s3:// address" in message(run("--endpoint", "http://localhost:1", "--home", "/mnt"))
    assert "for builds on this machine" in message(
        run("--incremental", "--endpoint", "http://localhost:1", "--home", "s3://x")
    )
    (tmp_path / "trigger.yaml").write_text("volume: {share: 1}")
    result = run()
    assert isinstance(result.exception, SettingsError)
    assert "trigger.yaml: volume.share: unknown; volume takes absolute, relative" in str(result.exception)
