"""The files around the code: what GitHub, editors, hooks and type checkers read."""

import configparser
import fnmatch
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.support.paths import ROOT

TEXT = (".py", ".md", ".yaml", ".yml", ".json", ".toml", ".txt", ".tf", ".tfvars", ".sh")


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("github-workflows", [".github/workflows/ci.yml"]),
        ("dependabot", [".github/dependabot.yml"]),
        ("github-issue-config", [".github/ISSUE_TEMPLATE/config.yml"]),
        ("github-issue-forms", [".github/ISSUE_TEMPLATE/bug.yml", ".github/ISSUE_TEMPLATE/feature.yml"]),
    ],
)
def test_githubs_files_follow_githubs_schemas(schema: str, files: list[str]) -> None:
    command = [Path(sys.executable).with_name("check-jsonschema"), "--builtin-schema", f"vendor.{schema}", *files]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_workflow_runs_what_the_ci_script_runs() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    [job] = workflow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    assert (ROOT / ".ci/run").stat().st_mode & 0o100


def test_dependabot_watches_folders_that_exist() -> None:
    files = {
        "pip": "pyproject.toml",
        "docker": "Dockerfile",
        "terraform": "*.tf",
        "github-actions": ".github/workflows",
    }
    for update in yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())["updates"]:
        for folder in update.get("directories", [update.get("directory")]):
            assert list((ROOT / folder.lstrip("/")).glob(files[update["package-ecosystem"]])), update


def test_the_hooks_are_valid_and_run_the_projects_own_tools() -> None:
    hooks = Path(sys.executable).with_name("pre-commit")
    validated = subprocess.run(
        [hooks, "validate-config", ".pre-commit-config.yaml"], cwd=ROOT, capture_output=True, text=True
    )
    assert validated.returncode == 0, validated.stdout
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    entries = [hook["entry"] for repo in config["repos"] for hook in repo["hooks"]]
    assert [entry.split()[0] for entry in entries] == [".venv/bin/ruff", ".venv/bin/ruff", ".venv/bin/mypy"]


def test_the_dev_container_is_set_up_by_make() -> None:
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    assert container["postCreateCommand"].startswith("make develop")


def test_every_package_of_the_wheel_is_marked_as_typed() -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]
    for pattern in packages["include"]:
        [marker] = [path for folder in packages["where"] for path in (ROOT / folder).glob(f"{pattern[:-1]}/py.typed")]
        assert marker.read_text() == ""


def test_text_files_keep_to_the_editorconfig() -> None:
    config = configparser.ConfigParser()
    config.read_string("[DEFAULT]\n" + (ROOT / ".editorconfig").read_text())
    assert config["*"]["insert_final_newline"] == config["*"]["trim_trailing_whitespace"] == "true"
    tabbed = next(section for section in config.sections() if "Makefile" in section).strip("{}").split(",")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split(
        "\n"
    )
    for name in filter(None, listed):
        if not name.endswith((*TEXT, "Makefile", "Dockerfile")) or not (ROOT / name).exists():
            continue
        content = (ROOT / name).read_text()
        assert not content or content.endswith("\n"), name
        assert not re.search(r"[ \t]+$", content, re.MULTILINE), name
        if re.search(r"^\t", content, re.MULTILINE):
            assert any(
                fnmatch.fnmatch(name, pattern) or fnmatch.fnmatch(Path(name).name, pattern) for pattern in tabbed
            )


def test_the_index_of_decisions_lists_every_page_with_its_title() -> None:
    folder = ROOT / "docs/decisions"
    index = re.findall(r"^\| (\d+) \| \[(.+)\]\((.+\.md)\) \|", (folder / "README.md").read_text(), re.MULTILINE)
    pages = {path.name: path.read_text().splitlines()[0] for path in folder.glob("[0-9]*.md")}
    assert {name: f"# {number}. {title}" for number, title, name in index} == pages
