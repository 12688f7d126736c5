"""``make graph``: the folders of the project, the highest level first, and the folders that each imports.

Every ``import`` statement counts, inside functions as well. A folder may import folders of lower levels only, so there
is no circle. The files directly in a folder are one node of the graph; each subfolder is another.
"""

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from tests.support.paths import ROOT

PACKAGES = {
    "winnow": "winnow",
    "export": "export",
    "bloom_sidecar": "transformers/bloom_sidecar",
    "recommender_transformer": "transformers/recommender_transformer",
    "kfp_pipelines": "kfp_pipelines",
}
"""Package -> its folder."""

ALLOWED = {
    "winnow": {"winnow"},
    "export": {"export", "winnow"},
    "bloom_sidecar": {"bloom_sidecar", "winnow"},
    "recommender_transformer": {"recommender_transformer", "winnow"},
    "kfp_pipelines": {"kfp_pipelines", "export", "winnow"},
}
"""Package -> the packages that it may import."""

LEVELS = (
    ("winnow.arrays", "winnow.forms"),
    (
        "winnow",
        "winnow.local.triton_backend",
        "winnow.local.triton_backend.faiss",
        "winnow.local.triton_backend.onnxruntime",
    ),
    ("kfp_pipelines.cluster", "winnow.client", "winnow.lifecycle", "winnow.settings"),
    (
        "winnow.bloom",
        "winnow.datasets.canonical",
        "winnow.erasures",
        "winnow.encoders",
        "winnow.ranking",
        "winnow.retrieval",
    ),
    ("winnow.items",),
    (
        "winnow.datasets.marketplace",
        "winnow.datasets.migration",
        "winnow.datasets.readers",
        "winnow.embeddings",
        "winnow.features",
        "winnow.filtering",
        "winnow.milvus",
        "winnow.planning",
        "winnow.store",
    ),
    ("winnow.catalog",),
    ("winnow.datasets", "winnow.features.spark", "winnow.local", "winnow.rules", "winnow.users"),
    ("winnow.batch", "winnow.cli.options", "winnow.feedback", "winnow.store.business"),
    ("winnow.evaluation", "winnow.models", "winnow.models.encoders", "winnow.training.loop", "winnow.training.tables"),
    (
        "winnow.evaluation.attribution",
        "winnow.evaluation.experiments",
        "winnow.evaluation.off_policy",
        "winnow.training.encoders",
        "winnow.training.retriever",
    ),
    ("winnow.training.ranker",),
    (
        "winnow.cli.access",
        "winnow.cli.analysis",
        "winnow.cli.batch",
        "winnow.cli.migrate",
        "winnow.lifecycle.gate",
        "winnow.lifecycle.trigger",
        "winnow.reporting",
        "winnow.training",
    ),
    ("winnow.explorer.base",),
    (
        "winnow.explorer.ask",
        "winnow.explorer.catalog",
        "winnow.explorer.compare",
        "winnow.explorer.health",
        "winnow.explorer.people",
        "winnow.explorer.releases",
    ),
    ("winnow.explorer",),
    ("winnow.cli.explorer",),
    ("winnow.cli.catalog", "winnow.cli.live", "winnow.cli.releases", "winnow.cli.users"),
    ("winnow.cli",),
    ("winnow.training.incremental",),
    ("export.graphs", "recommender_transformer.backends.followed"),
    ("recommender_transformer.backends",),
    ("export.triton", "recommender_transformer.backends.predictor"),
    (
        "kfp_pipelines.rollout",
        "recommender_transformer.content",
        "recommender_transformer.funnel.business",
        "recommender_transformer.funnel.forms",
        "recommender_transformer.funnel.matching",
        "recommender_transformer.funnel.pages",
    ),
    ("recommender_transformer.derivation",),
    (
        "bloom_sidecar",
        "export",
        "recommender_transformer.funnel",
        "recommender_transformer.serving.access",
        "recommender_transformer.serving.connections",
    ),
    ("recommender_transformer.funnel.reuse",),
    (
        "kfp_pipelines",
        "recommender_transformer.funnel.backfill",
        "recommender_transformer.funnel.filters",
        "recommender_transformer.funnel.item_hydrators",
        "recommender_transformer.funnel.orderers",
        "recommender_transformer.funnel.query_hydrators",
        "recommender_transformer.funnel.reasons",
        "recommender_transformer.funnel.side_effects",
        "recommender_transformer.funnel.sources",
        "recommender_transformer.serving.protocols",
    ),
    (
        "kfp_pipelines.batch",
        "kfp_pipelines.lifecycle",
        "recommender_transformer.funnel.scorers",
        "recommender_transformer.serving",
    ),
    ("recommender_transformer",),
)
"""Every folder, the lowest level first."""

Graph = Mapping[str, Mapping[str, set[str]]]
"""Folder -> folder that it imports -> the imports, as ``module -> module``."""


def modules(root: Path = ROOT, packages: Mapping[str, str] = PACKAGES) -> dict[str, Path]:
    """Dotted name -> file, of every module of the packages."""
    found = {}
    for package, place in packages.items():
        for path in sorted((root / place).rglob("*.py")):
            parts = [package, *path.relative_to(root / place).with_suffix("").parts]
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path) -> Iterator[str]:
    """Every name that a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import hides its package"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def folder_graph(root: Path = ROOT, packages: Mapping[str, str] = PACKAGES) -> Graph:
    """Read the imports of every Python file of the packages.

    Args:
        root: the project.
        packages: package -> its folder below ``root``.
    """
    files = modules(root, packages)
    folders = {name: name if path.stem == "__init__" else name.rpartition(".")[0] for name, path in files.items()}
    graph: dict[str, dict[str, set[str]]] = {folder: defaultdict(set) for folder in folders.values()}
    for module, path in files.items():
        for target in imported(path):
            while target and target not in files:
                target = target.rpartition(".")[0]
            if target and folders[target] != folders[module]:
                graph[folders[module]][folders[target]].add(f"{module} -> {target}")
    return graph


def faults(graph: Graph, levels: Sequence[Sequence[str]] = LEVELS) -> list[str]:
    """Each folder without a level, and each import that ``ALLOWED`` lacks or that does not point down."""
    level = {folder: number for number, row in enumerate(levels) for folder in row}
    found = [f"{folder}: has no level; add it to LEVELS" for folder in graph if folder not in level]
    for folder, targets in graph.items():
        for target, imports in targets.items():
            first = min(imports)
            if target.split(".")[0] not in ALLOWED[folder.split(".")[0]]:
                found.append(f"{folder} must not import {target}: {first}")
            elif level.get(target, -1) >= level.get(folder, len(levels)):
                found.append(f"{folder} is not above {target}: {first}")
    return found


def circle(graph: Graph) -> list[str]:
    """Folders that import each other in a circle, the first one repeated at the end; empty where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def main() -> int:
    """Print the graph; exit code 1 where something is wrong."""
    graph = folder_graph()
    for folder in sorted(graph, key=lambda folder: (-_level(folder), folder)):
        print(f"{_level(folder):2}  {folder} -> {', '.join(sorted(graph[folder])) or 'nothing'}")
    wrong = [*faults(graph), *([" -> ".join(["circle:", *circle(graph)])] if circle(graph) else [])]
    print("\n".join(wrong) or f"{len(graph)} folders, no circle, no arrow up")
    return 1 if wrong else 0


def _level(folder: str) -> int:
    return next((number for number, row in enumerate(LEVELS) if folder in row), -1)


if __name__ == "__main__":
    sys.exit(main())
