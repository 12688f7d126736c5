"""``winnow recommend --all``: what it prints, and what it refuses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.batch.conftest import USERS, content
from winnow.release import Release


def winnow(home: Path, redis_url: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [str(Path(sys.executable).with_name("winnow")), "recommend", *arguments]
    variables = os.environ | {"REDIS_URL": redis_url, "WINNOW_HOME": str(home)}
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=300)


def test_it_says_what_it_did(release: Release, redis_url: str, tmp_path: Path) -> None:
    output = tmp_path / "lists"
    options = ("--all", f"--output={output}", f"--release-dir={release.folder}", "--where=price < 500")
    done = winnow(tmp_path, redis_url, *options, "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    expected = {"users": USERS, "computed": USERS, "skipped": 0, "degraded": 0, "left_out": 0, "output": str(output)}
    assert {name: said[name] for name in expected} == expected
    assert said["users_per_second"] > 0
    # Half of the items match, and what a user has seen is hidden.
    assert max(len(row["item_ids"]) for row in content(output)) == 50
    again = winnow(tmp_path, redis_url, *options)
    assert f"{USERS} users in 1 parts in {output}; 0 computed" in again.stdout
    assert again.stdout.endswith(f"; {USERS} were there already\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--all"], "--all needs --output FOLDER"),
        (
            ["--all", "u1", "--output=x"],
            "--all takes -k, --where, --users, --workers, --predictor and --release-dir only",
        ),
        (["u1", "--output=x"], "--output is an option of --all"),
        (["u1", "--workers=2"], "--workers is an option of --all"),
        (["--all", "--output=x"], "no stack is running"),
    ],
)
def test_what_cannot_be_combined_is_refused(tmp_path: Path, arguments: list[str], message: str) -> None:
    refused = winnow(tmp_path, "redis://127.0.0.1:9", *arguments)
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"winnow: {message}"), refused.stderr
