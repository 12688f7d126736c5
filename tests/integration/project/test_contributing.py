"""The examples of CONTRIBUTING.md work as written, on a copy of the source."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

GUIDE = (ROOT / "CONTRIBUTING.md").read_text()
SOURCES = ("winnow", "transformers", "export", "tests/support")
CONFIGURATION = ("pyproject.toml", "tests/conftest.py", "tests/integration/recommender_transformer/conftest.py")


def blocks(heading: str, language: str) -> list[str]:
    """The code blocks of a section."""
    section = re.split(r"^## ", GUIDE.split(f"\n## {heading}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def apply(change: str, folder: Path) -> None:
    """Apply one change: lines with a minus or a space must follow each other in the file, once."""
    name, *lines = change.splitlines()
    path = folder / name
    before = "".join(line[1:] + "\n" for line in lines if line[0] in " -")
    after = "".join(line[1:] + "\n" for line in lines if line[0] in " +")
    text = path.read_text()
    assert text.count(before) == 1, f"{name} does not have these lines once:\n{before}"
    path.write_text(text.replace(before, after))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the source and of the tests' support code."""
    for name in SOURCES:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in CONFIGURATION:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("heading", ["Adding a candidate source", "Adding a filter", "Adding an encoder"])
def test_an_example_works_as_written(heading: str, checkout: Path) -> None:
    written = []
    for block in blocks(heading, "python"):
        first, _, code = block.partition("\n")
        path = checkout / first.removeprefix("# ")
        assert not path.exists(), f"{first}: the example would replace a file"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
        written.append(path)
    for block in blocks(heading, "diff"):
        for change in re.split(r"^--- ", block, flags=re.MULTILINE)[1:]:
            apply(change, checkout)
    ruff = Path(sys.executable).with_name("ruff")
    for command in (["check"], ["format", "--check"]):
        styled = subprocess.run([ruff, *command, "--no-cache", *written], cwd=checkout, capture_output=True, text=True)
        assert styled.returncode == 0, styled.stdout + styled.stderr

    [test] = [path for path in written if path.name.startswith("test_")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (checkout, checkout / "transformers")))}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(test)]
    ran = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=240)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_its_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`?make ([a-z-]+)`?", GUIDE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
