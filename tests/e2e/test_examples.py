"""The scripts in examples/ run as their READMEs say."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.paths import ROOT

EXAMPLES = ROOT / "examples"


def run(example: str, *arguments: str, **options: Any) -> str:
    """What an example prints."""
    command = [sys.executable, str(EXAMPLES / example / "run.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_csv_files_become_recommendations(tmp_path: Path, free_ports: int) -> None:
    printed = run("csv_to_recommendation", f"--folder={tmp_path}", f"--port-base={free_ports}", cwd=tmp_path)
    before, after = printed[printed.index("[") :].rsplit("after the purchase of ", 1)
    items = json.loads(before[: before.rindex("]") + 1])
    assert len(items) == 3
    bought, rest = after.split(": ", 1)
    assert bought == items[0]["item_id"]
    assert bought not in rest


def test_promoted_items_are_candidates(served, active_users) -> None:
    [user] = active_users(1)
    promoted = served.release.strings("item_ids")[[1, 2, 3]].tolist()
    printed = run("custom_source", user, *promoted, env=served.winnow.environment).splitlines()
    assert [line.split(":")[0] for line in printed] == promoted
    assert all("named by" in line and "promoted" in line for line in printed)
    assert any("position" in line or "in the user's" in line for line in printed)


def test_every_example_is_listed() -> None:
    folders = sorted(path.parent.name for path in EXAMPLES.glob("*/run.py"))
    listed = (EXAMPLES / "README.md").read_text()
    assert folders
    assert all(f"({folder}/README.md)" in listed for folder in folders)
