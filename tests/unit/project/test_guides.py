"""What the guides name exists: modules, functions, files and make targets."""

import re
from pathlib import Path

import pytest

from tests.support.paths import ROOT

PACKAGES = {
    "winnow": ROOT / "winnow",
    "export": ROOT / "export",
    "kfp_pipelines": ROOT / "kfp_pipelines",
    "recommender_transformer": ROOT / "transformers/recommender_transformer",
    "bloom_sidecar": ROOT / "transformers/bloom_sidecar",
    "benchmarks": ROOT / "benchmarks",
    "cluster_validation": ROOT / "cluster_validation",
}
FOLDERS = "benchmarks|cluster_validation|docs|eks|examples|export|images|kfp_pipelines|kserve_manifests"
GUIDES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md")
    for path in ROOT.glob(pattern)
    if path.is_relative_to(ROOT / "docs/api") is False and path.name != "CHANGELOG.md"
)


def exists(name: str) -> bool:
    """Whether a dotted name is a module of ours, or a name in one."""
    first, *parts = name.split(".")
    path = PACKAGES[first]
    while parts and (path / parts[0]).is_dir():
        path /= parts.pop(0)
    file = path / f"{parts[0]}.py" if parts and (path / f"{parts[0]}.py").exists() else path / "__init__.py"
    parts = parts[1:] if file.name != "__init__.py" else parts
    return not parts or (len(parts) == 1 and bool(re.search(rf"\b{parts[0]}\b", file.read_text())))


def prose(guide: Path) -> str:
    """The guide without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", guide.read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_guide_names_what_exists(guide: Path) -> None:
    text = prose(guide)
    named = re.findall(rf"`({'|'.join(PACKAGES)})((?:\.\w+)+)`", text)
    assert [first + rest for first, rest in named if not exists(first + rest)] == []
    paths = re.findall(rf"`((?:{FOLDERS}|winnow|transformers|tests)/[\w./-]*)`", text)
    placeholder = re.compile(r"/[A-Z]\b")
    assert [path for path in paths if not (ROOT / path).exists() and not placeholder.search(path)] == []
    makefile = (ROOT / "Makefile").read_text() + (ROOT / "eks/Makefile").read_text()
    targets = re.findall(r"`make ([a-z][a-z-]*)", text)
    assert [target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []


def test_an_absent_name_is_found_out() -> None:
    assert exists("winnow.release.Release")
    assert exists("winnow.store")
    assert not exists("winnow.store.absent")
    assert not exists("winnow.absent")
