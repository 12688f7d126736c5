"""What runs inside the cluster: custom resources against their schemas, and names that have to meet Terraform's."""

import os
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from validation import charts
from validation.objects import ToolMissing, render
from validation.schemas import KUBERNETES

ROOT = Path(__file__).parents[2]
EKS = ROOT / "eks"
CRDS = ROOT.parent / "shared" / "crds"
CHARTS = [line.split() for line in (EKS / "charts.txt").read_text().splitlines() if not line.startswith("#")]
CORE = {"v1", "storage.k8s.io/v1", "kustomize.config.k8s.io/v1beta1"}


def _objects() -> list[dict[str, Any]]:
    files = sorted(path for path in (EKS / "manifests").rglob("*.yaml") if path.name != "kustomization.yaml")
    return [found for path in files for found in yaml.safe_load_all(path.read_text())]


def _one(kind: str, name: str) -> dict[str, Any]:
    (found,) = [one for one in _objects() if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


def _terraform(file: str) -> str:
    return (EKS / file).read_text()


def _values(release: str) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((EKS / "values" / f"{release}.yaml").read_text())
    return values


KEPT = {"type", "enum", "pattern", "minimum", "maximum", "required", "minItems", "maxItems", "minLength", "maxLength"}


def _strict(schema: dict[str, Any]) -> dict[str, Any]:
    """An OpenAPI schema as JSON schema: what it does not name is an error, where the API server would drop it."""
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    strict = {key: value for key, value in schema.items() if key in KEPT}
    if "items" in schema:
        strict["items"] = _strict(schema["items"])
    if "properties" in schema:
        strict["properties"] = {name: _strict(found) for name, found in schema["properties"].items()}
        strict["additionalProperties"] = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    elif isinstance(schema.get("additionalProperties"), dict):
        strict["additionalProperties"] = _strict(schema["additionalProperties"])
    return strict


@cache
def _definition(group: str, version: str, kind: str) -> dict[str, Any]:
    for path in CRDS.glob(f"{group}_*.yaml"):
        # Half a megabyte each: the C loader takes a tenth of the time.
        for found in filter(None, yaml.load_all(path.read_text(), yaml.CSafeLoader)):
            if found["spec"]["names"]["kind"] == kind:
                schemas = {one["name"]: one["schema"]["openAPIV3Schema"] for one in found["spec"]["versions"]}
                return _strict(schemas[version])
    raise AssertionError(f"no schema of {group}/{version} {kind}")


def _faults(custom: dict[str, Any]) -> list[str]:
    schema = _definition(*custom["apiVersion"].split("/"), custom["kind"])
    return [f"{fault.json_path}: {fault.message}" for fault in Draft202012Validator(schema).iter_errors(custom)]


@pytest.fixture
def crds() -> Path:
    if not CRDS.is_dir():
        pytest.skip("../shared/crds, the schemas of the custom resources, is not there")
    return CRDS


WITHOUT_SCHEMA = {"GatewayClass"}
"""Kinds whose definitions ../shared/crds does not have."""

CUSTOM = [one for one in _objects() if one["apiVersion"] not in CORE and one["kind"] not in WITHOUT_SCHEMA]


@pytest.mark.parametrize("custom", CUSTOM, ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")
def test_a_custom_resource_is_as_its_definition_says(crds, custom):
    assert _faults(custom) == []


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
def test_a_planted_fault_is_found(crds, kind, name, path, value):
    wrong = _one(kind, name)
    *way, last = path.split(".")
    place = wrong
    for step in way:
        place = place[step]
    place[last] = value
    assert any(last in fault for fault in _faults(wrong))


def test_every_chart_is_pinned_and_has_values_of_its_own():
    assert len(CHARTS) == 12
    for release, _, version, chart, *repository in CHARTS:
        assert re.fullmatch(r"v?\d+\.\d+\.\d+", version), release
        assert chart.startswith("oci://") != bool(repository), release
        assert _values(release) is not None
    assert {path.stem for path in (EKS / "values").glob("*.yaml")} == {release for release, *_ in CHARTS}


def test_what_serves_the_control_plane_is_of_its_version():
    version = re.search(r'default *= "(1\.\d+)"', _terraform("variables.tf"))[1]
    assert f'"v{version}.' in re.search(r'"kube-proxy" *= .*', _terraform("variables.tf"))[0]
    assert version == KUBERNETES
    assert [str(finding) for finding in charts.check()] == []


@pytest.mark.parametrize(
    ("release", "version", "said"),
    [
        (
            "cluster-autoscaler",
            "9.52.1",
            "9.52.1 is older than 9.54.0: from 1.35 on the autoscaler lists resource.k8s.io",
        ),
        ("envoy-gateway", "v1.6.0", "v1.6.0 is not said to support Kubernetes 1.35"),
        ("envoy-gateway", "v1.10.0", "v1.10.0 is not said to support Kubernetes 1.35"),
        ("metrics-server", None, "metrics-server: is not installed"),
    ],
)
def test_a_chart_that_does_not_go_with_this_kubernetes_is_named(release, version, said):
    others = {name: chart for name, chart in charts.installed().items() if name != release}
    changed = others | ({release: charts.Chart(release, "n", version)} if version else {})
    (finding,) = map(str, charts.check(changed))
    assert said in finding


def test_the_kserve_that_is_installed_is_the_one_that_is_tested():
    tested = re.search(r"KSERVE_VERSION := (\S+)", (ROOT / "Makefile").read_text())[1]
    fetched = {
        image
        for path in (ROOT / "kserve_manifests").rglob("*.yaml")
        for image in re.findall(r"kserve/storage-initializer:(\S+)", path.read_text())
    }
    assert {charts.installed()[release].version for release in ("kserve", "kserve-crd")} == {tested} == fetched


def test_karpenter_is_told_the_names_that_terraform_gives():
    assert '"${var.name}-karpenter"' in _terraform("karpenter.tf")
    assert '"${var.name}-karpenter-node"' in _terraform("karpenter.tf")
    assert '"karpenter.sh/discovery" = var.name' in _terraform("network.tf")
    assert re.search(r'variable "name" \{[^}]*default *= "winnow"', _terraform("variables.tf"))
    settings = _values("karpenter")["settings"]
    assert settings == {"clusterName": "winnow", "interruptionQueue": "winnow-karpenter"}
    for pool in ("cpu", "gpu"):
        spec = _one("EC2NodeClass", pool)["spec"]
        assert spec["instanceProfile"] == "winnow-karpenter-node"
        assert spec["subnetSelectorTerms"] == [{"tags": {"karpenter.sh/discovery": "winnow"}}]
        assert spec["metadataOptions"]["httpTokens"] == "required"
        assert all(disk["ebs"]["encrypted"] for disk in spec["blockDeviceMappings"])


@pytest.mark.parametrize("pool", ["gpu", "spot"])
def test_a_pool_carries_what_the_node_group_of_its_name_carries(pool):
    group = re.search(rf"\n    {pool} = {{(.*?)\n    }}", _terraform("variables.tf"), re.DOTALL)[1]
    carried = {name: dict(re.findall(r'"(\S+)" = "(\S+)"', text)) for name, text in re.findall(r"(\w+) *= (.*)", group)}
    template = _one("NodePool", pool)["spec"]["template"]
    assert template["metadata"]["labels"] == carried["labels"]
    assert {taint["key"]: taint["value"] for taint in template["spec"]["taints"]} == carried["taints"]


def test_pools_have_limits_and_classes_that_are_there():
    pools = [one for one in _objects() if one["kind"] == "NodePool"]
    assert {pool["metadata"]["name"] for pool in pools} == {"cpu", "gpu", "spot"}
    for pool in pools:
        assert pool["spec"]["limits"]
        assert pool["spec"]["disruption"]["budgets"]
        _one("EC2NodeClass", pool["spec"]["template"]["spec"]["nodeClassRef"]["name"])


def test_gpus_are_enough_for_two_chains_that_roll_and_a_training_job():
    try:
        chains = render("canary").chains
    except ToolMissing as missing:
        pytest.skip(str(missing))
    wanted = sum(chain["spec"]["predictor"]["maxReplicas"] + 1 for chain in chains) + 1
    pool = _one("NodePool", "gpu")["spec"]
    assert int(pool["limits"]["nvidia.com/gpu"]) >= wanted
    cpus = next(
        one["values"] for one in pool["template"]["spec"]["requirements"] if one["key"].endswith("instance-cpu")
    )
    assert int(pool["limits"]["cpu"]) >= wanted * max(map(int, cpus))
    group = re.search(r"\n    gpu = {(.*?)\n    }", _terraform("variables.tf"), re.DOTALL)[1]
    assert int(re.search(r"max_size *= (\d+)", group)[1]) >= wanted


def test_a_predictor_in_production_is_on_demand():
    requirements = _one("NodePool", "gpu")["spec"]["template"]["spec"]["requirements"]
    assert {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"]} in requirements


def test_events_are_exported_to_the_data_set_that_spark_and_retraining_read():
    export = yaml.safe_load((ROOT / "kserve_manifests" / "base" / "export.yaml").read_text())
    pod = export["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    arguments = _one("SparkApplication", "feature-extraction")["spec"]["arguments"]
    data = arguments[arguments.index("--data") + 1].replace("s3a://", "s3://")
    assert pod["containers"][0]["args"] == [data] == ["s3://winnow-features/data"]
    assert re.search(rf'{pod["serviceAccountName"]} *= {{ winnow = \["feedback"\] }}', _terraform("identity.tf"))


def test_jobs_run_as_accounts_that_have_a_role():
    roles = _terraform("identity.tf")
    spark = _one("SparkApplication", "feature-extraction")
    assert spark["spec"]["driver"]["serviceAccount"] == _values("spark-operator")["spark"]["serviceAccount"]["name"]
    assert _values("spark-operator")["spark"]["jobNamespaces"] == [spark["metadata"]["namespace"]] == ["winnow-jobs"]
    pod = _pod()
    assert _one("ServiceAccount", pod["serviceAccountName"])["metadata"]["namespace"] == "winnow-jobs"
    assert re.search(r'training *= \{ winnow-jobs = \["training"\] \}', roles)
    assert re.search(r'spark *= \{ winnow-jobs = \["spark"\] \}', roles)


def _pod() -> dict[str, Any]:
    (job,) = _one("ClusterTrainingRuntime", "winnow-torch")["spec"]["template"]["spec"]["replicatedJobs"]
    pod: dict[str, Any] = job["template"]["spec"]["template"]["spec"]
    return pod


def test_the_training_pod_is_restricted_and_gets_a_gpu():
    (container,) = _pod()["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert _pod()["securityContext"]["runAsNonRoot"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in _pod()["volumes"]}


def test_the_spark_application_runs_an_entry_point_that_exists_on_the_spark_that_is_installed():
    spec = _one("SparkApplication", "feature-extraction")["spec"]
    assert f"pyspark=={spec['sparkVersion']}" in (ROOT / "constraints.txt").read_text().splitlines()
    dockerfile = (ROOT / "images" / spec["image"].split("/")[1].split(":")[0] / "Dockerfile").read_text()
    place, _, module = spec["mainApplicationFile"].removeprefix("local://").partition("site-packages/")
    assert f"-DoutputDirectory={place}site-packages/pyspark/jars" in dockerfile
    entry = (ROOT / module).read_text()
    parameters = re.search(r"def run\((.*?)\n\)", entry, re.DOTALL)[1]
    asked = set(re.findall(r"(\w+): Annotated", parameters))
    assert {option[2:] for option in spec["arguments"][::2]} == asked


def test_the_spark_image_is_a_driver_or_an_executor_as_it_is_asked(tmp_path):
    for tool in (tmp_path / "java", tmp_path / "bin" / "spark-submit"):
        tool.parent.mkdir(exist_ok=True)
        tool.write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n')
        tool.chmod(0o755)
    settings = {"MEMORY": "1g", "ID": "1", "CORES": "4", "POD_IP": "10.0.0.2", "POD_NAME": "executor-1"}
    environment = {f"SPARK_EXECUTOR_{name}": value for name, value in settings.items()} | {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "SPARK_HOME": str(tmp_path),
        "SPARK_DRIVER_BIND_ADDRESS": "10.0.0.1",
        "SPARK_DRIVER_URL": "spark://driver",
        "SPARK_APPLICATION_ID": "spark-1",
        "SPARK_RESOURCE_PROFILE_ID": "0",
        **{f"SPARK_JAVA_OPT_{number}": f"-Dnumber={number} x" for number in range(11)},
    }

    def asked(*arguments: str) -> list[str]:
        entrypoint = [str(ROOT / "images" / "spark" / "entrypoint"), *arguments]
        return subprocess.run(entrypoint, env=environment, capture_output=True, text=True, check=True).stdout.split(
            "\n"
        )

    driver = asked("driver", "--class", "a.Class", "local:///main.py")
    assert driver[:4] == ["--deploy-mode", "client", "--conf", "spark.driver.bindAddress=10.0.0.1"]
    assert driver[-4:-1] == ["--class", "a.Class", "local:///main.py"]
    executor = asked("executor")
    assert executor[:11] == [f"-Dnumber={number} x" for number in range(11)]
    assert executor[11:15] == ["-Xms1g", "-Xmx1g", "-cp", f"{tmp_path}/conf:{tmp_path}/jars/*"]
    assert executor[executor.index("--driver-url") + 1] == "spark://driver"
    assert executor[executor.index("--podName") + 1] == "executor-1"
    assert asked("echo", "as it is")[0] == "as it is"
