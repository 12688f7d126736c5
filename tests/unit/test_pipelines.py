"""The pipelines compile with kfp's own command, and a run's output becomes what a person wants to see."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from kfp_pipelines.screen import Screen

ROOT = Path(__file__).parents[2]
TRACEBACK = """\
    Traceback (most recent call last):
      File "ingest.py", line 3, in ingest
    winnow.errors.DataError: two problems
      events.csv: no column user_id
      items.csv: item_id "7" twice
"""


@pytest.mark.parametrize(
    ("pipeline", "steps"),
    [
        ("feature_extraction", {"ingest", "encode", "extract"}),
        ("retraining", {"feature-extraction", "train", "release"}),
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


def test_the_screen_keeps_everything_and_shows_steps_and_marked_lines() -> None:
    log, terminal = io.StringIO(), io.StringIO()
    screen = Screen(log, terminal)
    said = "12:00:01 - INFO - Executing task \x1b[96m'ingest'\x1b[0m\n    chatter\n    winnow: 7 pictures skipped\n"
    screen.write(said)
    assert log.getvalue() == said
    assert terminal.getvalue() == "▸ ingest\n  7 pictures skipped\n"
    assert screen.error == ""


def test_the_screen_hands_on_the_whole_error_and_its_kind() -> None:
    screen = Screen(io.StringIO(), io.StringIO())
    for character in TRACEBACK:
        screen.write(character)
    assert screen.error_name == "DataError"
    assert screen.error == 'two problems\n  events.csv: no column user_id\n  items.csv: item_id "7" twice'
