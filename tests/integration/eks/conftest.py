"""A plan of the whole configuration, and Terraform's AWS provider."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster.terraform import LOCAL, MIRRORS, Terraform


@pytest.fixture(scope="module")
def plugins() -> Path:
    """Folder of the AWS provider; skips where Terraform or the provider is not installed."""
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not installed")
    for mirror in map(Path, map(os.path.expanduser, MIRRORS)):
        if any(mirror.glob("registry.terraform.io/hashicorp/aws/*")):
            return mirror
    pytest.skip("Terraform's AWS provider is in none of its plugin folders: set WINNOW_TF_PLUGINS to one")


@pytest.fixture(scope="module")
def whole(aws, plugins, tmp_path_factory) -> Terraform:
    """The whole configuration, to be planned."""
    return Terraform(tmp_path_factory.mktemp("whole") / "eks", plugins, LOCAL)


@pytest.fixture(scope="module")
def planned(whole) -> dict[str, dict[str, Any]]:
    """The resources of a plan with the default variables."""
    return whole.plan()
