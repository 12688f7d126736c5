"""The charts' versions go together with the cluster's Kubernetes."""

import re

import pytest

from cluster_validation.charts import check as charts
from cluster_validation.charts.installed import Chart, installed
from cluster_validation.manifests.objects import EKS, MANIFESTS, ROOT
from cluster_validation.schemas.core import KUBERNETES
from tests.support.cluster.eks import chart_values, terraform_file

CHARTS = [line.split() for line in (EKS / "charts.txt").read_text().splitlines() if not line.startswith("#")]


def test_every_chart_has_a_pinned_version_and_values():
    assert len(CHARTS) == 13
    for release, _, version, chart, *repository in CHARTS:
        assert re.fullmatch(r"v?\d+\.\d+\.\d+", version), release
        assert chart.startswith("oci://") != bool(repository), release
        assert chart_values(release) is not None
    assert {path.stem for path in (EKS / "values").glob("*.yaml")} == {release for release, *_ in CHARTS}


def test_add_ons_and_charts_support_the_version_of_the_cluster():
    version = re.search(r'default *= "(1\.\d+)"', terraform_file("variables.tf"))[1]
    assert f'"v{version}.' in re.search(r'"kube-proxy" *= .*', terraform_file("variables.tf"))[0]
    assert version == KUBERNETES
    assert [str(finding) for finding in charts.check()] == []


@pytest.mark.parametrize(
    ("release", "version", "message"),
    [
        (
            "cluster-autoscaler",
            "9.52.1",
            "9.52.1 is older than 9.54.0: from 1.35 on the autoscaler lists resource.k8s.io",
        ),
        ("envoy-gateway", "v1.6.0", "sources.yaml does not list Kubernetes 1.35 as supported by v1.6.0"),
        ("envoy-gateway", "v1.10.0", "sources.yaml does not list Kubernetes 1.35 as supported by v1.10.0"),
        ("metrics-server", None, "metrics-server: is not installed"),
    ],
)
def test_a_chart_that_does_not_support_this_kubernetes_is_reported(release, version, message):
    others = {name: chart for name, chart in installed().items() if name != release}
    changed = others | ({release: Chart(release, "n", version)} if version else {})
    (finding,) = map(str, charts.check(changed))
    assert message in finding


def test_the_installed_kserve_is_the_tested_version():
    tested = re.search(r"KSERVE_VERSION := (\S+)", (ROOT / "Makefile").read_text())[1]
    fetched = {
        image
        for path in MANIFESTS.rglob("*.yaml")
        for image in re.findall(r"kserve/storage-initializer:(\S+)", path.read_text())
    }
    assert {installed()[release].version for release in ("kserve", "kserve-crd")} == {tested} == fetched
