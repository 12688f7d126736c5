"""The folders of ``cluster_validation`` import each other in one direction, and no product package imports them."""

from tests.support.folder_graph import PACKAGES, circle, folder_graph

NAME = "cluster_validation"
FOLDERS = ("api_server", "charts", "checks", "manifests", "metrics", "policies", "schemas")


def test_the_folders_have_no_circle():
    graph = folder_graph(packages={NAME: NAME})
    assert set(graph) == {NAME, *(f"{NAME}.{folder}" for folder in FOLDERS)}
    assert circle(graph) == []
    assert all(NAME not in targets for targets in graph.values()), "a folder imports the command above it"


def test_no_package_of_the_product_imports_the_checks():
    graph = folder_graph(packages=PACKAGES | {NAME: NAME})
    others = {folder: targets for folder, targets in graph.items() if not folder.startswith(NAME)}
    assert len(others) > 30
    assert [folder for folder, targets in others.items() if any(each.startswith(NAME) for each in targets)] == []
