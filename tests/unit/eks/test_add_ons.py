"""The objects of ``eks/manifests`` follow their kinds' schemas."""

import pytest

from cluster_validation.manifests.objects import add_ons
from cluster_validation.schemas.check import check_all
from cluster_validation.schemas.core import CORE
from tests.support.cluster.eks import add_on

CUSTOM = [each for each in add_ons() if each["apiVersion"] not in CORE]


@pytest.mark.parametrize("custom", CUSTOM, ids=lambda each: f"{each['kind']}-{each['metadata']['name']}")
def test_a_custom_resource_follows_its_schema(custom):
    assert [str(finding) for finding in check_all([custom])] == []


@pytest.mark.parametrize(
    ("kind", "name", "path", "value"),
    [
        ("NodePool", "gpu", "spec.disruption.consolidateAfters", "1m"),
        ("NodePool", "gpu", "spec.disruption.consolidateAfter", "soon"),
        ("NodePool", "cpu", "spec.disruption.consolidationPolicy", "Always"),
        ("EC2NodeClass", "cpu", "spec.metadataOptions.httpPutResponseHopLimit", "1"),
        ("SparkApplication", "feature-extraction", "spec.driver.cores", "1"),
        ("SparkApplication", "feature-extraction", "spec.executer", {}),
        ("ClusterTrainingRuntime", "winnow-torch", "spec.mlPolicy.torch.numProcPerNode", 1),
        ("Gateway", "kserve-ingress-gateway", "spec.gatewayClass", "envoy"),
    ],
)
def test_a_planted_fault_is_reported(kind, name, path, value):
    wrong = add_on(kind, name)
    *parents, last = path.split(".")
    holder = wrong
    for step in parents:
        holder = holder[step]
    holder[last] = value
    assert any(last in str(finding) for finding in check_all([wrong]))
