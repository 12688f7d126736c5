"""The vendored definitions of custom kinds: complete, up to date with their originals, and written by a command."""

import copy
import shutil
from pathlib import Path

import pytest
import yaml

from cluster_validation.manifests.objects import ROOT, Objects, add_ons, outside, overlays
from cluster_validation.schemas import __main__ as command
from cluster_validation.schemas.check import check_all
from cluster_validation.schemas.core import CORE
from cluster_validation.schemas.crds import CRDS, custom_schemas, vendored
from tests.support.cluster.manifests import rendered

ORIGINALS = ROOT.parent / "shared" / "crds"

FOR_KSERVE = {("serving.kserve.io/v1alpha1", "ClusterServingRuntime"), ("serving.kserve.io/v1alpha1", "InferenceGraph")}
FOR_KSERVE |= {("keda.sh/v1alpha1", "ScaledObject")}
"""Kinds that no manifest uses, but KServe's controller watches or creates."""

CREATED = {("trainer.kubeflow.org/v1alpha1", "TrainJob")}
"""The kind that the pipelines create (kfp_pipelines/train_job.py)."""


def test_exactly_the_kinds_of_the_manifests_the_pipelines_and_kserve_are_vendored():
    objects = [*add_ons(), *(each for overlay in overlays() for each in rendered(overlay).all)]
    used = {(each["apiVersion"], each["kind"]) for each in objects if each["apiVersion"] not in CORE}
    missing = (used | CREATED | FOR_KSERVE) - custom_schemas().keys()
    assert missing == set()
    kinds = {(version.partition("/")[0], kind) for version, kind in custom_schemas()}
    assert {(version.partition("/")[0], kind) for version, kind in used | CREATED | FOR_KSERVE} == kinds


@pytest.fixture(scope="module")
def originals() -> list[Path]:
    """The definitions in ``../shared/crds`` that are vendored; that of GatewayClass is not there."""
    if not ORIGINALS.is_dir():
        pytest.skip("../shared/crds, the projects' own definitions, is not part of the project")
    found = [ORIGINALS / path.name for path in CRDS.glob("*.yaml") if (ORIGINALS / path.name).is_file()]
    assert len(found) == len(list(CRDS.glob("*.yaml"))) - 1
    return found


def test_a_vendored_definition_is_what_the_command_makes_of_its_original(originals):
    changed = [path.name for path in originals if vendored(path) != (CRDS / path.name).read_text()]
    assert changed == [], "run python -m cluster_validation.schemas ../shared/crds"


def test_vendoring_keeps_everything_but_descriptions(originals):
    for path in originals:
        full = yaml.load(path.read_bytes(), yaml.CSafeLoader)
        small = yaml.load((CRDS / path.name).read_bytes(), yaml.CSafeLoader)
        dropped = _only_in_first(full, small)
        assert {where.rpartition("/")[2] for where, _ in dropped} <= {"description", "status"}
        assert all(isinstance(value, str) for where, value in dropped if where != "/status")
        assert _only_in_first(small, full) == []


def _only_in_first(first: object, second: object, where: str = "") -> list[tuple[str, object]]:
    """Paths and values of the parts of a tree that are missing in another, or differ there."""
    if isinstance(first, dict) and isinstance(second, dict):
        missing = [(f"{where}/{key}", value) for key, value in first.items() if key not in second]
        common = (key for key in first if key in second)
        return missing + [each for key in common for each in _only_in_first(first[key], second[key], f"{where}/{key}")]
    if isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        pairs = enumerate(zip(first, second, strict=True))
        return [each for n, (one, other) in pairs for each in _only_in_first(one, other, f"{where}/{n}")]
    return [] if first == second else [(where, first)]


def test_a_field_that_is_named_description_is_kept(tmp_path):
    schema = {"type": "object", "description": "dropped", "properties": {"description": {"type": "string"}}}
    definition = {"apiVersion": "v1", "kind": "CustomResourceDefinition", "metadata": {}, "spec": {"schema": schema}}
    (tmp_path / "one.yaml").write_text(yaml.safe_dump(definition | {"status": {}}))
    kept = yaml.safe_load(vendored(tmp_path / "one.yaml"))
    assert kept["spec"]["schema"] == {"type": "object", "properties": {"description": {"type": "string"}}}
    assert "status" not in kept


def test_the_readme_names_the_project_of_every_definition():
    readme = (CRDS / "README.md").read_text()
    groups = {path.name.partition("_")[0] for path in CRDS.glob("*.yaml")}
    assert {group for group in groups if f"`{group}_*`" not in readme} == set()


@pytest.fixture
def vendor(tmp_path, monkeypatch) -> Path:
    """A copy of the folder of vendored definitions, to which the command writes."""
    folder = tmp_path / "crds"
    shutil.copytree(CRDS, folder)
    monkeypatch.setattr(command, "CRDS", folder)
    return folder


def test_the_command_writes_the_definitions_that_the_folder_has(vendor, tmp_path, capsys):
    name = "keda.sh_scaledobjects.yaml"
    originals = tmp_path / "originals"
    originals.mkdir()
    definition = yaml.safe_load((CRDS / name).read_text())
    definition["spec"]["names"]["singular"] = "changed"
    (originals / name).write_text(yaml.safe_dump(definition))
    (originals / "other.yaml").write_text(yaml.safe_dump(definition))
    assert command.main([str(originals)]) == 0
    assert capsys.readouterr().out == f"vendored from {originals}: {name}\n"
    assert "singular: changed" in (vendor / name).read_text()
    assert not (vendor / "other.yaml").exists()
    assert command.main([str(originals), "other.yaml"]) == 0
    assert "singular: changed" in (vendor / "other.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "usage: python -m cluster_validation.schemas FOLDER"),
        (["nowhere"], "nowhere has no gateway.networking.k8s.io_gatewayclasses.yaml, "),
        (["nowhere", "a.yaml"], "nowhere has no a.yaml\n"),
    ],
)
def test_the_command_names_a_missing_file(vendor, capsys, arguments, error):
    assert command.main(arguments) == 2
    assert capsys.readouterr().err.startswith(error)


def test_the_add_ons_on_eks_have_no_findings():
    assert [str(finding) for finding in check_all(add_ons())] == []


def test_an_object_that_is_defined_twice_is_reported():
    objects = Objects([*add_ons(), copy.deepcopy(add_ons()[0])], outside())
    (finding,) = map(str, check_all(objects.all))
    assert finding.endswith("is defined twice")
