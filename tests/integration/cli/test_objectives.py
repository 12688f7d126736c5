"""``winnow objectives`` on a real Redis."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.tiny_release import write_release
from winnow.release import Release
from winnow.store import objectives
from winnow.store.connection import connect
from winnow.store.keys import Keys


@pytest.fixture
def release(tmp_path: Path) -> Release:
    return write_release(tmp_path, 6100)


@pytest.fixture
def command(release: Release, redis_url: str, tmp_path: Path):
    """Run the command for the release; returns exit code, output and errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [Path(sys.executable).with_name("winnow"), "objectives", f"--release-dir={release.folder}", *arguments],
            env=os.environ | {"REDIS_URL": redis_url, "WINNOW_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        return done.returncode, done.stdout, done.stderr

    with connect(redis_url) as client:
        client.delete(Keys(6100).objectives)
    return run


def test_live_weights_are_set_shown_and_reset(command, redis_url: str) -> None:
    code, printed, _ = command()
    assert code == 0
    rows = [line.split() for line in printed.splitlines()]
    assert rows[0] == ["release", "6100"]
    assert rows[2:] == [["view", "1", "1"], ["buy", "4", "4"], ["dislike", "-5", "-5"]]
    _, printed, _ = command("--set", "buy=20", "--set=view=0.5", "--json")
    assert json.loads(printed) == [
        {"type": "view", "release": 1.0, "live": 0.5, "weight": 0.5},
        {"type": "buy", "release": 4.0, "live": 20.0, "weight": 20.0},
        {"type": "dislike", "release": -5.0, "live": None, "weight": -5.0},
    ]
    with connect(redis_url) as client:
        assert objectives.read(client, 6100, ("view", "buy", "dislike")) == {"view": 0.5, "buy": 20.0}
    _, printed, _ = command("--reset", "--set=dislike=0", "--json")
    assert [one["weight"] for one in json.loads(printed)] == [1.0, 4.0, 0.0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("share=1", "'share' is not an event type of the release; its types are view, buy, dislike"),
        ("buy=-1001", "'buy=-1001': the weight must be a number between -1000 and 1000"),
    ],
)
def test_a_wrong_weight_changes_nothing(command, redis_url: str, given: str, message: str) -> None:
    code, _, errors = command("--set=view=3", f"--set={given}")
    assert code == 1
    assert errors == f"winnow: {message}\n"
    with connect(redis_url) as client:
        assert not client.exists(Keys(6100).objectives)
