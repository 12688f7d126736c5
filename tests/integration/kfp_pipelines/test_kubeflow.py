"""The commands of docs/retraining.md against the API server of Kubeflow Pipelines, with a package compiled here."""

import json
import os
import shlex
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.support.paths import ROOT

ENDPOINT = os.environ.get("WINNOW_KFP_ENDPOINT", "")

pytestmark = pytest.mark.skipif(not ENDPOINT, reason="WINNOW_KFP_ENDPOINT names no API server of Kubeflow Pipelines")

KFP = str(Path(sys.executable).with_name("kfp"))


def commands() -> list[str]:
    """The commands of the guide's section, each on one line."""
    section = (ROOT / "docs" / "retraining.md").read_text().split("## Create, run, schedule", 1)[1]
    block = section.split("```bash\n", 1)[1].split("```", 1)[0]
    return [line for line in block.replace("\\\n", " ").splitlines() if line.strip()]


def asked(path: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{ENDPOINT}/apis/v2beta1/{path}", timeout=30) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def test_the_guide_creates_a_pipeline_a_run_and_a_schedule(tmp_path: Path) -> None:
    package, name = tmp_path / "retraining.yaml", f"retraining-{uuid4().hex[:8]}"
    source = ROOT / "kfp_pipelines/lifecycle/retraining.py"
    compiling = [KFP, "dsl", "compile", "--py", str(source), "--output", str(package)]
    subprocess.run(compiling, check=True, cwd=ROOT, timeout=300, capture_output=True)
    for command in commands():
        given = command.replace("http://localhost:3000", ENDPOINT).replace("eks/packages/retraining.yaml", str(package))
        for word in ("retraining", "first", "nightly", "shop"):
            given = given.replace(f"-name {word} ", f"-name {word.replace('retraining', name)}-{name[-8:]} ")
        done = subprocess.run([KFP, *shlex.split(given)[1:]], timeout=120, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    [run] = [one for one in asked("runs?page_size=200")["runs"] if one["display_name"] == f"first-{name[-8:]}"]
    assert run["runtime_config"]["parameters"] == {"data": "s3://PREFIX-features/data", "home": "s3://PREFIX-models"}
    schedules = asked("recurringruns?page_size=200")["recurringRuns"]
    [schedule] = [one for one in schedules if one["display_name"] == f"nightly-{name[-8:]}"]
    # Without --enabled the command makes a schedule that never starts a run.
    assert schedule["status"] == "ENABLED"
    assert schedule["trigger"]["cron_schedule"]["cron"] == "0 0 2 * * *"
