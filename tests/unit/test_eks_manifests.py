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
    assert len(CHARTS) == 11
    for release, _, version, chart, *repository in CHARTS:
        assert re.fullmatch(r"v?\d+\.\d+\.\d+", version), release
        assert chart.startswith("oci://") != bool(repository), release
        assert _values(release) is not None
    assert {path.stem for path in (EKS / "values").iterdir()} == {release for release, *_ in CHARTS}


def test_what_serves_the_control_plane_is_of_its_version():
    version = re.search(r'default *= "(1\.\d+)"', _terraform("variables.tf"))[1]
    assert f'"v{version}.' in re.search(r'"kube-proxy" *= .*', _terraform("variables.tf"))[0]
    assert _values("cluster-autoscaler")["image"]["tag"].startswith(f"v{version}.")


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


TOOLS = {
    "terraform": 'case "$*" in *registry*) echo -n 1.dkr.ecr.aws/winnow;; *bucket*) echo -n winnow-1-eu;; '
    "*endpoint*) echo -n redis.local;; *user*) echo -n winnow-online;; *secret*) echo -n winnow/redis;; "
    "*region*) echo -n eu-west-1;; esac",
    "kubectl": 'if [[ $1 == kustomize ]]; then cat "$2"/*.yaml; elif [[ "$*" == *"-f -"* ]]; then cat; fi',
    "helm": 'echo "helm $*"',
    "aws": 'echo "aws $*" >> "$CALLS"; case "$*" in *get-random-password*) echo secretword;; '
    '*get-secret-value*) echo rediss://winnow-online:oldword@redis.local:6379/0;; *stdin*) cat >> "$CALLS";; esac',
}
"""Stand-ins for the tools that talk to AWS and to a cluster: they say what they were asked to do."""


@pytest.fixture
def tools(tmp_path) -> dict[str, str]:
    for name, body in TOOLS.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    return os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CALLS": str(tmp_path / "calls")}


def _make(target: str, tools: dict[str, str], *arguments: str) -> str:
    command = ["make", "-s", "-C", str(EKS), target, *arguments]
    return subprocess.run(command, env=tools, capture_output=True, text=True, check=True, timeout=60).stdout


def test_manifests_get_this_accounts_registry_and_buckets(tools):
    applied = _make("manifests", tools)
    assert "image: 1.dkr.ecr.aws/winnow/training:0.1.0" in applied
    assert not re.search(r"image: winnow/|s3a?://winnow-(features|models|artifacts)", applied)


def test_each_spark_run_has_an_output_of_its_own_and_says_where(tools):
    applied = _make("features", tools, "RUN=7")
    assert "image: 1.dkr.ecr.aws/winnow/spark:0.1.0" in applied
    assert "- s3a://winnow-1-eu-features/data\n" in applied
    assert "- s3a://winnow-1-eu-features/features/point-in-time-7\n" in applied
    assert "point_in_time: s3://winnow-1-eu-features/features/point-in-time-7" in applied
    assert not re.search(r"image: winnow/|s3a?://winnow-(features|models|artifacts)", applied)


def test_only_one_node_autoscaler_is_installed(tools):
    karpenter = _make("addons", tools)
    assert karpenter.count("helm upgrade") == len(CHARTS) - 1
    assert "cluster-autoscaler" not in karpenter
    other = _make("addons", tools, "AUTOSCALER=cluster-autoscaler")
    assert "karpenter" not in other
    assert "--set awsRegion=eu-west-1" in other


def test_a_new_password_is_no_argument_of_any_command_and_the_old_one_stays_valid(tools):
    _make("redis-password", tools)
    calls = Path(tools["CALLS"]).read_text()
    arguments = [line for line in calls.splitlines() if line.startswith("aws ")]
    assert [line for line in arguments if "secretword" in line or "oldword" in line] == []
    assert len(arguments) == 4
    assert '"Passwords": ["oldword", "secretword"]' in calls
    assert '"SecretString": "rediss://winnow-online:secretword@redis.local:6379/0"' in calls
    assert calls.index("modify-user") < calls.index("put-secret-value")


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
