"""Tests and benchmarks stand on `tests/support`, and nothing is imported by its path."""

import ast
from pathlib import Path

from tests.support.folder_graph import PACKAGES, circle, folder_graph
from tests.support.paths import ROOT

GRAPH = folder_graph(packages=PACKAGES | {"benchmarks": "benchmarks", "tests.support": "tests/support"})


def imports(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}


def test_benchmarks_and_support_have_no_circle() -> None:
    assert circle(GRAPH) == []
    assert {"benchmarks", "benchmarks.latency", "tests.support", "tests.support.faults"} <= set(GRAPH)


def test_support_and_the_packages_do_not_import_benchmarks() -> None:
    importers = {folder for folder, targets in GRAPH.items() if any(t.startswith("benchmarks") for t in targets)}
    assert {folder.split(".")[0] for folder in importers} == {"benchmarks"}


def test_only_the_tests_of_benchmarks_import_them() -> None:
    paths = [path for path in (ROOT / "tests").rglob("*.py") if any(n.startswith("benchmarks") for n in imports(path))]
    assert paths
    assert {path.parent.name for path in paths} == {"benchmarks"}


def test_no_file_is_imported_by_its_path() -> None:
    loader = "spec_from_" + "file_location"
    assert [path for path in (ROOT / "tests").rglob("*.py") if loader in path.read_text()] == []
