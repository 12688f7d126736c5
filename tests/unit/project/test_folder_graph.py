"""Imports point to lower levels of folders."""

from pathlib import Path

import pytest

from tests.support.folder_graph import LEVELS, circle, faults, folder_graph


def test_every_import_points_to_a_lower_level() -> None:
    graph = folder_graph()
    assert faults(graph) == []
    assert circle(graph) == []


def test_every_folder_of_the_levels_exists() -> None:
    assert sorted(folder for row in LEVELS for folder in row) == sorted(folder_graph())


@pytest.mark.parametrize(
    ("module", "line", "imported", "fault"),
    [
        (
            "winnow/bloom/a.py",
            "from winnow.store import keys",
            "winnow/store/keys.py",
            "winnow.bloom is not above winnow.store",
        ),
        ("winnow/a.py", "import winnow.local.stack", "winnow/local/stack.py", "winnow is not above winnow.local"),
        ("winnow/a.py", "def f():\n    import export.release", "export/release.py", "winnow must not import export"),
        ("winnow/planted/a.py", "", "winnow/b.py", "winnow.planted: has no level"),
    ],
)
def test_a_planted_import_is_refused(tmp_path: Path, module: str, line: str, imported: str, fault: str) -> None:
    for name, text in ((imported, ""), (module, line)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    [found] = faults(folder_graph(tmp_path))
    assert fault in found


def test_a_circle_between_two_folders_is_refused(tmp_path: Path) -> None:
    for name, other in (("one", "two"), ("two", "one")):
        (tmp_path / "winnow" / name).mkdir(parents=True)
        (tmp_path / "winnow" / name / "__init__.py").write_text(f"import winnow.{other}")
    graph = folder_graph(tmp_path, {"winnow": "winnow"})
    assert set(circle(graph)) == {"winnow.one", "winnow.two"}
    assert faults(graph, [["winnow.one"], ["winnow.two"]]) == [
        "winnow.one is not above winnow.two: winnow.one -> winnow.two"
    ]
