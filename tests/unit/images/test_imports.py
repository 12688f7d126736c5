"""The images contain every distribution that their programs import."""

import ast
import re
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.support.paths import ROOT

ROOTS = {
    "serving": [
        "recommender_transformer.__main__",
        "bloom_sidecar.__main__",
        "winnow.store.__main__",
        "winnow.milvus.__main__",
    ],
    "training": ["kfp_pipelines.components", "winnow.cli.events", "winnow.cli.filters", "winnow.cli.skew"],
}
"""The modules that the manifests and the pipelines run, by image."""

NOT_SERVED = {"awswrangler", "boto3", "botocore"}
"""Distributions that read data sets: a release is built with them, but served without."""


def _file(module: str) -> Path | None:
    for folder in (ROOT, ROOT / "transformers"):
        path = folder / module.replace(".", "/")
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.exists():
                return file
    return None


@cache
def _imported(module: str) -> frozenset[str]:
    """Modules that a module of the project imports, at its top or inside its functions."""
    file = _file(module)
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())) if file else ():
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names if _file(f"{node.module}.{alias.name}"))
    return frozenset(found)


def _third_party(roots: list[str]) -> set[str]:
    """Third-party distributions that modules import, directly or through other modules of the project."""
    seen: set[str] = set()
    waiting = list(roots)
    outside: set[str] = set()
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        if _file(module):
            waiting += _imported(module)
        else:
            outside.add(module.split(".")[0])
    known = packages_distributions()
    return {_normal(known[name][0]) for name in outside if name in known}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _installed(image: str) -> set[str]:
    """Distributions that pip installs in an image, with their dependencies."""
    dockerfile = (ROOT / "images" / image / "Dockerfile").read_text()
    extras = {*re.findall(r"'(serving|milvus|embedded|training|pipelines|local|cpu)'", dockerfile)}
    extras |= {"cpu"} if image == "training" else set()
    found: set[tuple[str, frozenset[str]]] = set()
    waiting = _named("winnow", extras)
    while waiting:
        requirement = waiting.pop()
        each = _normal(requirement.name), frozenset(requirement.extras)
        if each not in found:
            found.add(each)
            waiting += _named(requirement.name, requirement.extras)
    return {name for name, _ in found}


def _named(distribution: str, extras: set[str]) -> list[Requirement]:
    """The requirements of a distribution with some of its extras, on this Python and system."""
    try:
        found = [Requirement(line) for line in requires(distribution) or ()]
    except PackageNotFoundError:  # It is installed only on another Python or system.
        return []
    chosen = ["", *extras]
    return [one for one in found if one.marker is None or any(one.marker.evaluate({"extra": each}) for each in chosen)]


@pytest.mark.parametrize("image", ROOTS)
def test_an_image_contains_the_distributions_that_its_programs_import(image):
    allowed = NOT_SERVED if image == "serving" else set()
    assert _third_party(ROOTS[image]) - _installed(image) - allowed == set()
