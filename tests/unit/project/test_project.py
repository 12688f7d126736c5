"""The project's own rules: imports, constraints, and the Makefile's targets."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT


def test_transformers_is_hugging_faces_even_from_the_repository_root() -> None:
    question = "import transformers; print(transformers.__file__); from transformers import PreTrainedTokenizerFast"
    answer = subprocess.run([sys.executable, "-c", question], cwd=ROOT, check=True, capture_output=True, text=True)
    assert "site-packages" in answer.stdout
    assert not (ROOT / "transformers" / "__init__.py").exists()


def test_winnow_imports_none_of_the_other_packages() -> None:
    rooms = ("export", "kfp_pipelines", "recommender_transformer", "bloom_sidecar", "benchmarks")
    for path in (ROOT / "winnow").rglob("*.py"):
        for line in path.read_text().splitlines():
            words = line.split()
            if words[:1] in (["import"], ["from"]):
                assert words[1].split(".")[0] not in rooms, f"{path}: {line}"


def test_constraints_pin_names_and_versions_only() -> None:
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        name, _, version = line.partition("==")
        assert name, line
        assert version, line
        assert "/" not in line, line


def test_make_help_prints_the_targets() -> None:
    printed = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for target in ("setup", "demo", "up", "test", "bench", "lint"):
        assert f"make {target}" in printed


@pytest.mark.parametrize(
    ("version", "venv", "triton"),
    [
        ((3, 11, 7), "{python}", "{python}"),
        ((3, 12, 1), "{python}", "{python}"),
        ((3, 13, 0), "{python}", ">=3.11,<3.13"),
        ((3, 10, 2), "3.12", ">=3.11,<3.13"),
        ((3, 14, 0), "3.12", ">=3.11,<3.13"),
    ],
)
def test_set_up_uses_an_installed_python_or_fetches_one(
    tmp_path: Path, version: tuple[int, ...], venv: str, triton: str
) -> None:
    python = tmp_path / "python3"
    python.write_text(f'#!/bin/bash\nexec {sys.executable} -c "import sys; sys.version_info = {version}; $2"\n')
    python.chmod(0o755)
    for other in ("python3.11", "python3.12", "python3.13"):
        (tmp_path / other).write_text("#!/bin/false\n")
        (tmp_path / other).chmod(0o755)
    planned = subprocess.run(
        ["make", "--dry-run", "--always-make", "setup"],
        cwd=ROOT,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for environment, wanted in ((".venv", venv), (".venv-triton", triton)):
        assert f'--python "{wanted.format(python=python)}" {environment} ||' in planned


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        (".venv/.installed", "3.11 to 3.13: see above"),
        (".venv-triton/.installed", "3.11 or 3.12 (for Triton): see above"),
    ],
)
def test_a_failed_fetch_of_python_names_the_remedy(tmp_path: Path, stamp: str, expected: str) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "requirements-triton.txt"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    made = subprocess.run(["make", stamp, "UV=/bin/false"], cwd=tmp_path, capture_output=True, text=True)
    assert made.returncode
    assert f"uv could not make an environment with Python {expected}" in made.stderr
    assert "PYTHON=/path/to/python3.12" in made.stderr
