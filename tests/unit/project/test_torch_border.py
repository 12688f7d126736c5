"""Torch stays on its side: the models, what trains them and the export import it, and nothing that serves does.

Imports within functions count as well: a serving process without torch would fail at the first request instead of at
its start. The pipelines' steps and the benchmarks call training, so they may reach torch through it.
"""

from pathlib import Path

import pytest

from tests.support.folder_graph import imported, modules
from tests.support.paths import ROOT

TORCH = ("torch", "torchvision", "safetensors.torch", "open_clip", "timm", "transformers")
MAY_IMPORT = ("winnow.models", "winnow.training", "export")
MAY_REACH = (*MAY_IMPORT, "kfp_pipelines")


def within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def violations(root: Path) -> list[str]:
    """The modules that import torch where they may not, and the ones that reach it through another module."""
    files = modules(root)
    imports = {name: set(imported(path)) for name, path in files.items()}
    direct = {name for name in files if any(within(target, TORCH) for target in imports[name])}
    edges: dict[str, set[str]] = {name: set() for name in files}
    for name, targets in imports.items():
        for target in targets:
            while target and target not in files:
                target = target.rpartition(".")[0]
            # Python runs the packages above a module, too.
            while target:
                edges[name].add(target)
                target = target.rpartition(".")[0]
    reaching = set(direct)
    while more := {name for name in files if name not in reaching and edges[name] & reaching}:
        reaching |= more
    return [
        *sorted(f"{name} imports torch" for name in direct if not within(name, MAY_IMPORT)),
        *sorted(f"{name} reaches torch" for name in reaching - direct if not within(name, MAY_REACH)),
    ]


def test_only_models_training_and_export_import_torch() -> None:
    assert len(modules(ROOT)) > 150
    assert violations(ROOT) == []


@pytest.mark.parametrize(
    ("planted", "expected"),
    [
        ("import torch\n", ["winnow.retrieval.planted imports torch"]),
        ("import torch.nn as nn\n", ["winnow.retrieval.planted imports torch"]),
        ("from safetensors.torch import load_file\n", ["winnow.retrieval.planted imports torch"]),
        ("def lazily():\n    from torch import nn\n", ["winnow.retrieval.planted imports torch"]),
        ("from winnow.models import towers\n", ["winnow.retrieval.planted reaches torch"]),
        ("from winnow.settings.training import TrainingSettings\nimport safetensors\n", []),
    ],
)
def test_a_planted_import_is_found(planted: str, expected: list[str], tmp_path: Path) -> None:
    for package in ("models", "retrieval"):
        (tmp_path / "winnow" / package).mkdir(parents=True)
        (tmp_path / "winnow" / package / "__init__.py").touch()
    (tmp_path / "winnow" / "__init__.py").touch()
    (tmp_path / "winnow" / "models" / "towers.py").write_text("import torch\n")
    (tmp_path / "winnow" / "settings").mkdir()
    (tmp_path / "winnow" / "settings" / "training.py").write_text("import pydantic\n")
    (tmp_path / "winnow" / "retrieval" / "planted.py").write_text(planted)
    assert violations(tmp_path) == expected
