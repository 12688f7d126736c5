"""pyproject.toml declares what the code imports, and constraints.txt pins it."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.support.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines())


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_imports_and_declared_dependencies_agree() -> None:
    command = [Path(sys.executable).with_name("deptry"), "winnow", "transformers", "export", "kfp_pipelines"]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def test_an_undeclared_import_is_found(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    (tmp_path / "winnow").mkdir()
    (tmp_path / "winnow" / "planted.py").write_text("import lightgbm\n")
    checked = subprocess.run(
        [Path(sys.executable).with_name("deptry"), "winnow"], cwd=tmp_path, capture_output=True, text=True
    )
    assert checked.returncode == 1
    assert "'lightgbm'" in checked.stderr


def test_every_declared_dependency_is_pinned_within_its_bounds() -> None:
    for text in [*PROJECT["dependencies"], *(text for extra in EXTRAS.values() for text in extra)]:
        requirement = Requirement(text)
        if requirement.name != "onnxruntime-gpu":  # never installed together with onnxruntime, which is pinned
            assert requirement.specifier.contains(PINS[normal(requirement.name)]), text


@pytest.mark.parametrize(
    ("name", "extra"), [("rbloom", "serving"), ("rbloom", "training"), ("redis", "serving"), ("uvicorn", "serving")]
)
def test_dependencies_whose_internals_are_used_are_bounded(name: str, extra: str) -> None:
    [requirement] = [found for found in map(Requirement, EXTRAS[extra]) if found.name == name]
    pinned = PINS[name].split(".")
    following = f"{pinned[0]}.{int(pinned[1]) + 1}"
    assert not requirement.specifier.contains(following), f"{requirement} admits {following}"


def test_triton_has_no_package_that_its_backend_does_not_import() -> None:
    names = {
        Requirement(line).name for line in (ROOT / "requirements-triton.txt").read_text().splitlines() if line[0] != "#"
    }
    assert names == {"faiss-cpu", "nvidia-pytriton", "numpy", "onnxruntime", "packaging"}


def test_the_wheel_contains_the_products_packages_only(tmp_path: Path) -> None:
    names = ("winnow", "export", "kfp_pipelines", "recommender_transformer", "bloom_sidecar", "benchmarks", "tests")
    question = f"from importlib.util import find_spec; print([name for name in {names} if find_spec(name)])"
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    printed = subprocess.run(
        [sys.executable, "-c", question], cwd=tmp_path, env=outside, check=True, capture_output=True, text=True
    )
    assert printed.stdout.strip() == str(list(names[:5]))
