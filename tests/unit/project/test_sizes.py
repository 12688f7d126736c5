"""Files and folders stay small enough to read."""

import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.support.paths import ROOT

MOST_LINES, MOST_FILES = 350, 15


def tracked() -> list[Path]:
    """Python files that git tracks."""
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("the project is not a git checkout")
    return [ROOT / name for name in listed.stdout.split() if (ROOT / name).exists()]


def test_no_file_is_longer_than_a_reader_can_hold() -> None:
    lines = {path.relative_to(ROOT): path.read_text().count("\n") for path in tracked()}
    assert {path: count for path, count in lines.items() if count > MOST_LINES} == {}


def test_no_folder_has_too_many_files() -> None:
    files = Counter(path.parent.relative_to(ROOT) for path in tracked())
    assert {folder: count for folder, count in files.items() if count > MOST_FILES} == {}
