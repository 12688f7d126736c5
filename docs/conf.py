"""Sphinx's settings: the guides in Markdown and the API reference read from the source, without importing it.

The source directory is the repository: README, guides and code link to each other, and every link is checked.
"""

import sys
import tomllib
from pathlib import Path

from astroid.astroid_manager import MANAGER
from astroid.manager import AstroidManager
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
PACKAGES = ("winnow", "transformers/recommender_transformer", "transformers/bloom_sidecar", "export", "kfp_pipelines")

OURS = {Path(package).name for package in PACKAGES}

project = "Winnow"
author = "The Winnow authors"
release = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

extensions = ["myst_parser", "sphinx.ext.napoleon", "autoapi.extension"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**", "*/README.md", "*/*/README.md"]
exclude_patterns = [".*", "**/.*", "build", "**/node_modules"]
myst_heading_anchors = 3
html_theme = "furo"

autoapi_dirs = [str(ROOT / package) for package in PACKAGES]
autoapi_root = "docs/api"
autoapi_file_patterns = ["*.py"]
autoapi_options = ["members", "show-inheritance", "show-module-summary"]
autoapi_member_order = "bysource"
autoapi_python_class_content = "class"
autoapi_add_toctree_entry = False
# Constants assigned in one statement (START, END = ...) are found where they are defined, but not through an import.
suppress_warnings = ["autoapi.python_import_resolution"]
napoleon_use_ivar = True
# Every function, method, module and constant that a docstring refers to must exist. Classes are not checked: most of
# them come from annotations and belong to other packages.
nitpicky = True
nitpick_ignore_regex = [(r"py:(class|exc|obj)", ".*")]
# Every page carries the whole tree of contents, so the reference, whose modules grow with the code, is not in it:
# `alone`, below, links to its packages from `modules.md`.
autoapi_add_objects_to_toctree = False


class OtherPackages(set[str]):
    """Every module but ours: inferring the values of torch or NumPy takes minutes, and no page needs them."""

    def __contains__(self, module: object) -> bool:
        return str(module).split(".")[0] not in OURS | sys.stdlib_module_names


AstroidManager.brain["module_denylist"] = MANAGER.module_denylist = OtherPackages()


def guard(_app: object, what: str, _name: str, _obj: object, _options: object, lines: list[str]) -> None:
    """Add a line to the docstring of a value: otherwise napoleon takes the words before its first colon for a type."""
    if what in ("attribute", "data", "property"):
        lines.insert(0, ":")


def unguard(_app: object, _what: str, _name: str, _obj: object, _options: object, lines: list[str]) -> None:
    """Remove that line."""
    if lines and lines[0] == ":":
        del lines[0]


def alone(app: Sphinx, name: str, source: list[str]) -> None:
    """Link to the pages of the packages, which are outside the tree of contents; those of modules are in theirs."""
    if name == "docs/modules":
        source[0] += "".join(f"\n- {{doc}}`api/{Path(folder).name}/index`" for folder in app.config.autoapi_dirs)
    elif name.startswith("docs/api/") and name.count("/") == 3:
        source[0] = f":orphan:\n\n{source[0]}"


def setup(app: Sphinx) -> None:
    """Register the functions above, the first two before and after napoleon, whose priority is 500."""
    app.connect("autodoc-process-docstring", guard, priority=400)
    app.connect("autodoc-process-docstring", unguard, priority=600)
    app.connect("source-read", alone)
