"""The version has one source, pyproject.toml; every other place that names it says the same."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

from tests.support.paths import ROOT

VERSION: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
FOLDERS = ("images", "kserve_manifests", "eks")
IMAGE = re.compile(r"winnow/(?:serving|training|spark):([\w.-]+)")
JOB = re.compile(r"-publish-(\d+-\d+-\d+)-release-")


def named(pattern: re.Pattern[str]) -> list[tuple[str, str]]:
    """Every match in the images, manifests and the cluster's files, with its file."""
    files = (path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*")) if path.is_file())
    return [(str(path.relative_to(ROOT)), found) for path in files for found in pattern.findall(_text(path))]


def _text(path: Path) -> str:
    return path.read_bytes().decode(errors="ignore")


def test_the_installed_package_has_the_version() -> None:
    assert version("winnow") == VERSION


def test_every_image_is_tagged_with_the_version() -> None:
    images = named(IMAGE)
    assert len(images) > 8
    assert {(path, tag) for path, tag in images if tag != VERSION} == set()


def test_the_publish_jobs_name_the_version() -> None:
    jobs = named(JOB)
    assert jobs
    assert {(path, tag) for path, tag in jobs if tag != VERSION.replace(".", "-")} == set()


def test_the_glue_job_installs_the_wheel_of_the_version() -> None:
    wheels = named(re.compile(r"winnow-([\w.]+)-py3-none-any\.whl"))
    assert wheels == [("eks/glue.tf", VERSION)]


def test_the_changelog_begins_with_the_version_and_its_date() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    released = [heading for heading in headings if heading != "Unreleased"]
    assert re.fullmatch(rf"{re.escape(VERSION)} - \d{{4}}-\d\d-\d\d", released[0]), released[0]
