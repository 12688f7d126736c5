"""Tests and benchmarks stand on `tests/support`, and nothing is imported by its path."""

from tests.support.folder_graph import PACKAGES, circle, folder_graph, imported
from tests.support.paths import ROOT

GRAPH = folder_graph(packages=PACKAGES | {"benchmarks": "benchmarks", "tests.support": "tests/support"})


def test_benchmarks_and_support_have_no_circle() -> None:
    assert circle(GRAPH) == []
    assert {"benchmarks", "benchmarks.latency", "tests.support", "tests.support.faults"} <= set(GRAPH)


def test_support_and_the_packages_do_not_import_benchmarks() -> None:
    importers = {folder for folder, targets in GRAPH.items() if any(t.startswith("benchmarks") for t in targets)}
    assert {folder.split(".")[0] for folder in importers} == {"benchmarks"}


def test_only_the_tests_of_benchmarks_import_them() -> None:
    paths = [path for path in (ROOT / "tests").rglob("*.py") if any(n.startswith("benchmarks") for n in imported(path))]
    assert paths
    assert {path.parent.name for path in paths} == {"benchmarks"}


def test_no_file_is_imported_by_its_path() -> None:
    loader = "spec_from_" + "file_location"
    assert [path for path in (ROOT / "tests").rglob("*.py") if loader in path.read_text()] == []
