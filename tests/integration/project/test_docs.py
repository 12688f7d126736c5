"""`make docs` builds the guides and fails on a broken link."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.paths import ROOT

# One small package instead of all: the links are those of the guides.
QUICK = "-D autoapi_dirs=transformers/bloom_sidecar -D nitpicky=0"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The tracked files."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in listed.splitlines():
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, tmp_path / name)
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    return tmp_path


def build(checkout: Path) -> subprocess.CompletedProcess[str]:
    """The command of `make docs`, without set-up."""
    planned = subprocess.run(
        ["make", "--dry-run", "docs", f"ARGS={QUICK}"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    [command] = [line for line in planned if "sphinx" in line]
    return subprocess.run(["bash", "-c", command], cwd=checkout, capture_output=True, text=True, timeout=240)


@pytest.mark.slow
def test_the_guides_build_and_a_broken_link_fails(checkout: Path) -> None:
    built = build(checkout)
    assert built.returncode == 0, built.stderr
    assert (checkout / "build/docs/docs/overview.html").exists()
    assert (checkout / "build/docs/docs/api/bloom_sidecar/apply/index.html").exists()

    with (checkout / "docs/overview.md").open("a") as guide:
        guide.write("\nSee [the missing page](missing.md).\n")
    broken = build(checkout)
    assert broken.returncode != 0
    assert "missing.md" in broken.stderr
