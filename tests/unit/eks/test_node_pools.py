"""Karpenter's node pools and classes agree with Terraform's node groups and names."""

import re

import pytest

from cluster_validation.manifests.objects import ToolMissing, add_ons, render
from tests.support.cluster.eks import add_on, chart_values, terraform_file


def test_karpenter_uses_the_names_that_terraform_creates():
    assert '"${var.name}-karpenter"' in terraform_file("karpenter.tf")
    assert '"${var.name}-karpenter-node"' in terraform_file("karpenter.tf")
    assert '"karpenter.sh/discovery" = var.name' in terraform_file("network.tf")
    assert re.search(r'variable "name" \{[^}]*default *= "winnow"', terraform_file("variables.tf"))
    settings = chart_values("karpenter")["settings"]
    assert settings == {"clusterName": "winnow", "interruptionQueue": "winnow-karpenter"}
    for pool in ("cpu", "gpu"):
        spec = add_on("EC2NodeClass", pool)["spec"]
        assert spec["instanceProfile"] == "winnow-karpenter-node"
        assert spec["subnetSelectorTerms"] == [{"tags": {"karpenter.sh/discovery": "winnow"}}]
        assert spec["metadataOptions"]["httpTokens"] == "required"
        assert all(disk["ebs"]["encrypted"] for disk in spec["blockDeviceMappings"])


@pytest.mark.parametrize("pool", ["gpu", "spot", "training"])
def test_a_pool_has_the_labels_and_taints_of_the_node_group_of_its_name(pool):
    group = re.search(rf"\n    {pool} = {{(.*?)\n    }}", terraform_file("variables.tf"), re.DOTALL)[1]
    fields = re.findall(r"(\w+) *= (.*)", group)
    expected = {name: dict(re.findall(r'"(\S+)" = "(\S+)"', text)) for name, text in fields}
    template = add_on("NodePool", pool)["spec"]["template"]
    assert template["metadata"]["labels"] == expected["labels"]
    assert {taint["key"]: taint["value"] for taint in template["spec"]["taints"]} == expected["taints"]


def test_pools_have_limits_and_existing_classes():
    pools = [one for one in add_ons() if one["kind"] == "NodePool"]
    assert {pool["metadata"]["name"] for pool in pools} == {"cpu", "gpu", "spot", "training"}
    for pool in pools:
        assert pool["spec"]["limits"]
        assert pool["spec"]["disruption"]["budgets"]
        add_on("EC2NodeClass", pool["spec"]["template"]["spec"]["nodeClassRef"]["name"])


def test_the_gpu_limits_hold_two_rolling_chains():
    try:
        chains = render("canary").chains
    except ToolMissing as missing:
        pytest.skip(str(missing))
    needed = sum(chain["spec"]["predictor"]["maxReplicas"] + 1 for chain in chains)
    pool = add_on("NodePool", "gpu")["spec"]
    assert int(pool["limits"]["nvidia.com/gpu"]) >= needed
    cpus = next(
        one["values"] for one in pool["template"]["spec"]["requirements"] if one["key"].endswith("instance-cpu")
    )
    assert int(pool["limits"]["cpu"]) >= needed * max(map(int, cpus))
    group = re.search(r"\n    gpu = {(.*?)\n    }", terraform_file("variables.tf"), re.DOTALL)[1]
    assert int(re.search(r"max_size *= (\d+)", group)[1]) >= needed


def test_production_predictors_run_on_demand():
    requirements = add_on("NodePool", "gpu")["spec"]["template"]["spec"]["requirements"]
    assert {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"]} in requirements


def test_the_device_plugin_runs_on_every_node_with_a_gpu():
    """Without it a node offers no GPU to pods."""
    plugin = chart_values("nvidia-device-plugin")
    tolerated = {toleration["key"] for toleration in plugin["tolerations"]}
    ((label, value),) = plugin["nodeSelector"].items()
    pools = [one["spec"]["template"] for one in add_ons() if one["kind"] == "NodePool"]
    with_gpu = [pool for pool in pools if pool["spec"]["nodeClassRef"]["name"] == "gpu"]
    assert len(with_gpu) == 2
    for pool in with_gpu:
        assert pool["metadata"]["labels"][label] == value
        assert {taint["key"] for taint in pool["spec"]["taints"]} <= tolerated
