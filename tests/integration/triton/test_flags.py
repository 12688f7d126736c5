"""The options of the cluster's Triton exist: the local Triton, which is older, lists its options."""

import os
import re
import subprocess

import pytest

from cluster_validation.manifests.objects import ToolMissing, render
from cluster_validation.manifests.workloads import workloads
from tests.support.paths import ROOT
from winnow.local.triton import ENVIRONMENT, interpreter


def said_by(*options: str) -> str:
    packages, library_folder, _ = interpreter(ENVIRONMENT)
    libraries = f"{packages / 'nvidia_pytriton.libs'}:{library_folder}"
    server = packages / "pytriton" / "tritonserver" / "bin" / "tritonserver"
    environment = os.environ | {"LD_LIBRARY_PATH": libraries}
    done = subprocess.run([server, *options], env=environment, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def options() -> set[str]:
    return set(re.findall(r"--[a-z][a-z-]+", said_by("--help")))


@pytest.mark.parametrize("overlay", ["gpu", "dev"])
def test_triton_has_the_options_of_the_manifests(options, overlay):
    try:
        (predictor,) = [pod for pod in workloads(render(overlay)) if pod.part == "predictor"]
    except ToolMissing as missing:
        pytest.skip(str(missing))
    asked = {argument.partition("=")[0] for argument in predictor.containers[0]["args"]}
    assert "--model-repository" in asked
    assert asked - options == set()


def test_the_documented_versions_are_those_that_run(tmp_path):
    root = ROOT
    runtime = (root / "kserve_manifests" / "base" / "runtime.yaml").read_text()
    # It logs its version and exits without a repository.
    local = re.search(r"server_version *\| *([0-9.]+)", said_by(f"--model-repository={tmp_path / 'none'}"))[1]
    said = (root / "docs" / "decisions" / "0027-pinned-versions-were-read-or-run.md").read_text()
    assert f"Triton {re.search(r'tritonserver:([0-9.]+)-py3', runtime)[1]}" in said
    assert f"({local})" in said
