"""The written settings are valid where they are used: in Terraform's variables, the node pools and every overlay."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from cluster_validation.__main__ import CHECKS
from cluster_validation.manifests.objects import EKS, MANIFESTS, Objects, ToolMissing, render
from tests.support.cluster.manifests import findings
from winnow.errors import WinnowError
from winnow.planning import capacity, overrides, prices, units
from winnow.planning.capacity import Plan
from winnow.planning.workload import Workload

UNITS = units.load()
ON_GPUS = Workload(users=10_000_000, items=1_000_000, rps=3000, events=3000, index="exact")
ON_CPUS = Workload(users=10_000_000, items=3_000_000, rps=3000, events=9000)


def planned(workload: Workload) -> Plan:
    return capacity.plan(workload, UNITS, prices.load())


def rendered(folder: Path) -> Objects:
    """The objects of a kustomization."""
    try:
        return render(str(folder))
    except ToolMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    shutil.copytree(MANIFESTS, tmp_path / "kserve_manifests")
    shutil.copytree(EKS / "manifests", tmp_path / "eks/manifests")
    return tmp_path


@pytest.mark.parametrize(("workload", "gpu"), [(ON_GPUS, True), (ON_CPUS, False)])
def test_the_overlay_has_the_plans_sizes_and_no_findings(copied: Path, workload: Workload, gpu: bool) -> None:
    plan = planned(workload)
    assert plan.predictor.gpu == gpu
    overrides.write(plan, UNITS, copied)
    objects = rendered(copied / overrides.OVERLAY)
    for name, check in CHECKS.items():
        assert findings(objects, check) == [], name
    [chain] = objects.chains
    predictor, transformer = chain["spec"]["predictor"], chain["spec"]["transformer"]
    assert (predictor["minReplicas"], predictor["maxReplicas"]) == (plan.predictor.least, plan.predictor.most)
    assert (transformer["minReplicas"], transformer["maxReplicas"]) == (plan.transformers.least, plan.transformers.most)
    requests = predictor["model"]["resources"]["requests"]
    assert requests["memory"] == f"{plan.predictor.memory_gib * 1024:.0f}Mi"
    assert requests.get("nvidia.com/gpu") == ("1" if gpu else None)
    sidecar = transformer["containers"][1]["resources"]["requests"]["cpu"]
    # 9,000 events a second need more than the sidecars of the manifests.
    assert sidecar == "250m" if workload is ON_GPUS else int(sidecar[:-1]) > 250


@pytest.mark.parametrize("workload", [ON_GPUS, ON_CPUS])
def test_the_node_pools_hold_two_chains_at_their_maximum(copied: Path, workload: Workload) -> None:
    plan = planned(workload)
    overrides.write(plan, UNITS, copied)
    pools = copied / "eks/manifests/karpenter"
    with (pools / "kustomization.yaml").open("a") as file:
        file.write("components:\n- capacity\n")
    objects = rendered(pools)
    limits = {pool["metadata"]["name"]: pool["spec"]["limits"] for pool in objects.of("NodePool")}
    pods = plan.transformers
    assert float(limits["cpu"]["cpu"]) >= 2 * (pods.most + 1) * pods.cpu
    assert float(limits["cpu"]["memory"].removesuffix("Gi")) >= 2 * (pods.most + 1) * pods.memory_gib
    if plan.predictor.gpu:
        assert int(limits["gpu"]["nvidia.com/gpu"]) == 2 * (plan.predictor.most + 1)
    assert limits["spot"] == {"cpu": "256", "memory": "1Ti"}


def test_terraforms_variables_exist_with_these_fields(tmp_path: Path) -> None:
    overrides.write(planned(ON_CPUS), UNITS, tmp_path)
    written: dict[str, dict[str, Any]] = json.loads((tmp_path / overrides.TFVARS).read_text())
    declared = (EKS / "variables.tf").read_text()
    for name, value in written.items():
        variable = re.search(rf'^variable "{name}" {{\n(.*?)^}}', declared, re.MULTILINE | re.DOTALL)
        assert variable
        assert all(re.search(rf"^ +{field} += optional", variable[1], re.MULTILINE) for field in value)


def test_an_overlay_that_exists_keeps_its_release(tmp_path: Path) -> None:
    overrides.write(planned(ON_CPUS), UNITS, tmp_path)
    chain = tmp_path / overrides.OVERLAY / "chain/kustomization.yaml"
    chain.write_text(chain.read_text().replace("release=1 ", "release=8 "))
    before = (tmp_path / overrides.CHAIN).read_text()
    overrides.write(planned(ON_GPUS), UNITS, tmp_path)
    assert "release=8 " in chain.read_text()
    assert (tmp_path / overrides.CHAIN).read_text() != before


def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "eks").write_text("not a folder")
    with pytest.raises(WinnowError, match="eks"):
        overrides.write(planned(ON_CPUS), UNITS, tmp_path)
