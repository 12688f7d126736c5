"""Charts as helm renders them with our values: those that `make -C eks charts` has fetched, and one with faults."""

from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from validation import charts
from validation.objects import TOOLS, ToolMissing

RELEASE = "cluster-autoscaler"


@pytest.fixture(autouse=True)
def _helm() -> None:
    if not (TOOLS / "helm").exists():
        pytest.skip("helm is not in .tools: `make tools` builds it where Go is")


def found() -> list[str]:
    """What is found of the charts that are here, before it is said which are not."""
    said: list[str] = []
    with suppress(ToolMissing):
        said.extend(str(finding) for finding in charts.check_rendered())
    return said


def test_the_charts_that_are_here_grant_what_is_needed_and_know_our_values():
    here = [release for release in charts.installed() if (charts.CHARTS / release).is_dir()]
    if not here:
        pytest.skip("no chart is in .tools/charts: `make -C eks charts` fetches them")
    assert found() == []


@pytest.fixture
def chart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A chart in the place of the Cluster Autoscaler's that has its version, and nothing else."""
    folder = tmp_path / RELEASE
    (folder / "templates").mkdir(parents=True)
    about = {"apiVersion": "v2", "name": RELEASE, "version": charts.installed()[RELEASE].version}
    (folder / "Chart.yaml").write_text(yaml.safe_dump(about))
    (folder / "values.yaml").write_text(yaml.safe_dump({"image": {"repository": "", "tag": ""}}))
    monkeypatch.setattr(charts, "CHARTS", tmp_path)
    return folder


def test_a_right_that_a_chart_does_not_grant_is_named(chart):
    rule = {"apiGroups": ["resource.k8s.io"], "resources": ["resourceslices", "resourceclaims"], "verbs": ["list"]}
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "r"}}
    (chart / "templates" / "role.yaml").write_text(yaml.safe_dump(role | {"rules": [rule]}))
    said = found()
    assert f"{RELEASE}: ClusterRole: does not allow to list deviceclasses of resource.k8s.io" in said
    assert not [each for each in said if "resourceslices" in each]


def test_a_value_that_a_chart_would_drop_is_named(chart):
    said = found()
    assert f"values/{RELEASE}.yaml: replicaCount: is nothing that the chart knows" in said
    assert not [each for each in said if "image.tag" in each]


def test_another_version_than_is_installed_is_named(chart):
    about = yaml.safe_load((chart / "Chart.yaml").read_text()) | {"version": "9.52.1"}
    (chart / "Chart.yaml").write_text(yaml.safe_dump(about))
    assert any(".tools/charts has 9.52.1, charts.txt says" in each for each in found())
