"""Charts rendered by helm with our values: the downloaded ones, and one with planted faults."""

from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from cluster_validation.charts import rendered
from cluster_validation.charts.installed import installed
from cluster_validation.manifests.objects import TOOLS, ToolMissing

RELEASE = "cluster-autoscaler"


@pytest.fixture(autouse=True)
def _helm() -> None:
    if not (TOOLS / "helm").exists():
        pytest.skip("helm is not in .tools: `make tools` builds it with Go")


def found() -> list[str]:
    """The findings of the downloaded charts."""
    findings: list[str] = []
    with suppress(ToolMissing):  # It names the charts that are missing, after the others were checked.
        findings.extend(str(finding) for finding in rendered.check_rendered())
    return findings


def test_downloaded_charts_have_no_findings():
    downloaded = [release for release in installed() if (rendered.CHARTS / release).is_dir()]
    if not downloaded:
        pytest.skip("no chart is in .tools/charts: `make -C eks charts` downloads them")
    assert found() == []


@pytest.fixture
def chart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty chart with the version of the Cluster Autoscaler's, in its place."""
    folder = tmp_path / RELEASE
    (folder / "templates").mkdir(parents=True)
    about = {"apiVersion": "v2", "name": RELEASE, "version": installed()[RELEASE].version}
    (folder / "Chart.yaml").write_text(yaml.safe_dump(about))
    (folder / "values.yaml").write_text(yaml.safe_dump({"image": {"repository": "", "tag": ""}}))
    monkeypatch.setattr(rendered, "CHARTS", tmp_path)
    return folder


def test_a_permission_that_a_chart_does_not_grant_is_reported(chart):
    rule = {"apiGroups": ["resource.k8s.io"], "resources": ["resourceslices", "resourceclaims"], "verbs": ["list"]}
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "r"}}
    (chart / "templates" / "role.yaml").write_text(yaml.safe_dump(role | {"rules": [rule]}))
    findings = found()
    assert f"{RELEASE}: ClusterRole: does not allow to list deviceclasses of resource.k8s.io" in findings
    assert not [each for each in findings if "resourceslices" in each]


def test_a_value_that_a_chart_does_not_have_is_reported(chart):
    findings = found()
    assert f"values/{RELEASE}.yaml: replicaCount: the chart has no such value" in findings
    assert not [each for each in findings if "image.tag" in each]


def test_another_version_than_the_installed_one_is_reported(chart):
    about = yaml.safe_load((chart / "Chart.yaml").read_text()) | {"version": "9.52.1"}
    (chart / "Chart.yaml").write_text(yaml.safe_dump(about))
    assert any(".tools/charts has 9.52.1, charts.txt " in each for each in found())
