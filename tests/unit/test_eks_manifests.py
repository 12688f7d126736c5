"""What runs inside the cluster: custom resources against their schemas, and names that have to meet Terraform's."""

import os
import re
import shutil
import subprocess
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from validation import charts
from validation.objects import ToolMissing, overlays, render
from validation.schemas import KUBERNETES
from validation.workloads import Workload, workloads

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
        ("cluster-autoscaler", "9.52.1", "9.52.1 is older than 9.54.0: from 1.35 on the autoscaler lists resource.k8s.io"),
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
    cpus = next(one["values"] for one in pool["template"]["spec"]["requirements"] if one["key"].endswith("instance-cpu"))
    assert int(pool["limits"]["cpu"]) >= wanted * max(map(int, cpus))
    group = re.search(r"\n    gpu = {(.*?)\n    }", _terraform("variables.tf"), re.DOTALL)[1]
    assert int(re.search(r"max_size *= (\d+)", group)[1]) >= wanted


def test_a_predictor_in_production_is_on_demand():
    requirements = _one("NodePool", "gpu")["spec"]["template"]["spec"]["requirements"]
    assert {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"]} in requirements


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


FOREIGN = re.compile(r"image: winnow/|\b\d{12}\b|\bwinnow-(features|models|artifacts)\\b")
"""What has the name of another account, or of none."""

TOOLS = {
    "terraform": 'case "$*" in *registry*) echo -n 1.dkr.ecr.aws/winnow;; *bucket*) echo -n winnow-1-eu;; '
    "*endpoint*) echo -n redis.local;; *user*) echo -n winnow-online;; *secret*) echo -n winnow/redis;; "
    "*region*) echo -n eu-west-1;; esac",
    "kubectl": 'if [[ $1 == kustomize ]]; then exec "$KUBECTL" "$@"; elif [[ "$*" == *"-f -"* ]]; then cat; '
    'elif [[ $1 == create ]]; then cat /dev/stdin; elif [[ $1 == get ]]; then exit 1; fi',
    "helm": 'echo "helm $*"',
    "aws": 'echo "aws $*" >> "$CALLS"; case "$*" in "s3 sync"*) mkdir -p "$BUCKETS/${4#s3://}"; cp -r "$3/." "$BUCKETS/${4#s3://}";; *get-random-password*) echo secretword;; '
    '*get-secret-value*) echo rediss://winnow-online:oldword@redis.local:6379/0;; *stdin*) cat >> "$CALLS";; esac',
}
"""Stand-ins for the tools that talk to AWS and to a cluster: they say what they were asked to do."""


@pytest.fixture
def tools(tmp_path) -> dict[str, str]:
    for name, body in TOOLS.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not on the PATH")
    said = {"CALLS": str(tmp_path / "calls"), "BUCKETS": str(tmp_path / "buckets"), "KUBECTL": kubectl}
    return os.environ | said | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}


def _make(target: str, tools: dict[str, str], *arguments: str) -> str:
    command = ["make", "-s", "-C", str(EKS), target, *arguments]
    return subprocess.run(command, env=tools, capture_output=True, text=True, check=True, timeout=60).stdout


def test_manifests_get_this_accounts_registry_and_buckets(tools):
    applied = _make("manifests", tools)
    assert "image: 1.dkr.ecr.aws/winnow/training:0.1.0" in applied
    assert not FOREIGN.search(applied)


@pytest.mark.parametrize("overlay", overlays())
def test_what_is_served_has_this_accounts_names_and_one_tag(tools, overlay):
    applied = _make("serve", tools, f"OVERLAY={overlay}", "TAG=Review_7")
    assert not FOREIGN.search(applied)
    objects = [found for found in yaml.safe_load_all(applied) if found]
    ours = re.findall(r"image: (\S*winnow/\S+)", applied)
    assert {image.rpartition("/")[0] for image in ours} == {"1.dkr.ecr.aws/winnow"}
    assert {image.rpartition(":")[2] for image in ours} == {"Review_7"}
    assert set(re.findall(r"s3://([^/\s]+)/", applied)) == {"winnow-1-eu-features", "winnow-1-eu-models"}
    jobs = [one["metadata"]["name"] for one in objects if one["kind"] == "Job"]
    assert jobs and all(re.search(r"-publish-review-7-release-\d+$", name) for name in jobs)


def test_what_would_be_another_accounts_is_refused(tools):
    with pytest.raises(subprocess.CalledProcessError) as refused:
        subprocess.run(
            [EKS / "ours", "1.dkr.ecr.aws/winnow", "winnow-1-eu", "a"],
            input="image: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/winnow/serving:0.1.0\n",
            capture_output=True,
            text=True,
            check=True,
        )
    assert "not this account's:\n1:image: 123456789012" in refused.value.stderr
    assert refused.value.stdout == ""


def test_images_and_manifests_get_their_tag_from_one_place(tools):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"winnow/serving:{version}\n" in _make("serve", tools)
    # As `make -C .. images TAG=x` hands it on.
    built = ["bash", "-c", f"{ROOT}/images/build serving"]
    docker = Path(tools["CALLS"]).with_name("docker")
    docker.write_text('#!/bin/bash\necho "$@"\n')
    docker.chmod(0o755)
    for environment, tag in ({}, version), ({"TAG": "x"}, "x"):
        done = subprocess.run(built, env=tools | environment, capture_output=True, text=True, check=True, timeout=60)
        assert f"--tag winnow/serving:{tag} ." in done.stdout
        assert "--platform linux/amd64" in done.stdout


def test_a_release_in_the_bucket_is_the_release_alone(tools, tmp_path):
    home, python = tmp_path / "home", tmp_path / "python"
    python.write_text('#!/bin/bash\nmkdir -p "${@: -1}/ranker/configs" && echo gpu > "${@: -1}/ranker/configs/gpu.pbtxt"\n')
    python.chmod(0o755)
    for number, models in {1: ("ranker", "text_encoder"), 2: ("ranker",), 10: ("ranker",)}.items():
        for name in (*(f"model_repository/{number}/{m}/{number}/model.onnx" for m in models), f"releases/{number}/m.json"):
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (home / name).write_text(name)
        for model in models:
            (home / f"model_repository/{number}/{model}/config.pbtxt").write_text("c")
    _make("release", tools, "RELEASE=2", f"WINNOW_HOME={home}", f"PYTHON={python}")
    bucket = Path(tools["BUCKETS"]) / "winnow-1-eu-models"
    assert {str(path.relative_to(bucket)) for path in bucket.rglob("*") if path.is_file()} == {
        "releases/2/m.json",
        "model_repository/2/ranker/config.pbtxt",
        "model_repository/2/ranker/configs/gpu.pbtxt",
        "model_repository/2/ranker/2/model.onnx",
    }


def test_the_release_is_read_from_the_home_that_step_4_builds_in(tools):
    (line,) = [line for line in _steps() if re.search(r"\bdemo\b", line)]
    command = line.split("#")[0].split()
    asked = ["make", "-n", "-w", *command[1:]] if command[0] == "make" else ["echo", f"Entering directory '{EKS}'"]
    told = subprocess.run(asked, cwd=EKS, env=tools, capture_output=True, text=True, check=True, timeout=60).stdout
    built_in = Path(re.findall(r"Entering directory '(.*)'", told)[0]) / ".winnow"
    read = re.search(r"aws s3 sync (\S+)/releases/1 ", _make("release", tools, "-n"))[1]
    assert (EKS / read).resolve() == built_in.resolve()


def _steps() -> list[str]:
    """The commands from nothing to a recommendation."""
    (block,) = re.findall(r"```bash\n(# 1\..*?)```", (EKS / "README.md").read_text(), re.DOTALL)
    return [line for line in block.splitlines() if line and not line.startswith("#")]


def test_who_is_told_of_an_alert_is_a_file_of_ones_own(tools, tmp_path):
    (example,) = re.findall(r"```yaml\n(alertmanager:.*?)```", (EKS / "README.md").read_text(), re.DOTALL)
    config = yaml.safe_load(example)["alertmanager"]["config"]
    receivers = {one["name"] for one in config["receivers"]}
    routed = {config["route"]["receiver"], *(route["receiver"] for route in config["route"]["routes"])}
    assert routed <= receivers
    severities = set(re.findall(r"severity: (\w+)", (ROOT / "kserve_manifests/base/monitoring/alerts.yaml").read_text()))
    matched = {matcher for route in config["route"]["routes"] for matcher in route["matchers"]}
    assert {f'severity = "{severity}"' for severity in severities} <= matched
    assert "NOBODY IS TOLD OF AN ALERT" in subprocess.run(
        ["make", "-s", "-C", str(EKS), "addons"], env=tools, capture_output=True, text=True, check=True, timeout=60
    ).stderr


def test_each_spark_run_has_an_output_of_its_own_and_says_where(tools):
    applied = _make("features", tools, "RUN=7")
    assert "image: 1.dkr.ecr.aws/winnow/spark:0.1.0" in applied
    assert "- s3a://winnow-1-eu-features/data\n" in applied
    assert "- s3a://winnow-1-eu-features/features/point-in-time-7\n" in applied
    assert "point_in_time: s3://winnow-1-eu-features/features/point-in-time-7" in applied
    assert not FOREIGN.search(applied)


def test_only_one_node_autoscaler_is_installed(tools):
    karpenter = _make("addons", tools)
    assert karpenter.count("helm upgrade") == len(CHARTS) - 1
    assert "cluster-autoscaler" not in karpenter
    other = _make("addons", tools, "AUTOSCALER=cluster-autoscaler")
    assert "karpenter" not in other
    assert "--set awsRegion=eu-west-1" in other


def test_a_small_cluster_has_neither_gpus_nor_what_adds_nodes(tools):
    small = _make("addons", tools, "SIZE=small")
    installed = re.findall(r"helm upgrade --install (\S+)", small)
    absent = {"karpenter", "cluster-autoscaler", "nvidia-device-plugin", "spark-operator", "kubeflow-trainer"}
    assert set(installed) == {release for release, *_ in CHARTS} - absent
    for path in (EKS / "values" / "small").iterdir():
        assert f"--values values/{path.stem}.yaml --values values/small/{path.name}" in small
    assert "TrainingRuntime" not in _make("manifests", tools, "SIZE=small", "AUTOSCALER=none")
    assert "kind: PersistentVolumeClaim" in _make("serve", tools, "SIZE=small")
    secrets = _make("secrets", tools, "SIZE=small")
    url, password = re.search(r"url=(\S+)\npassword=(\S+)", secrets).groups()
    assert url == f"redis://:{password}@redis:6379/0"


def test_what_the_two_sizes_cost_adds_up():
    rows = re.findall(r"^\| (.*?) \|.*?\| (\S*) \|.*?\| (\S*) \|$", (EKS / "README.md").read_text(), re.MULTILINE)
    prices = {name: cells for name, *cells in rows if any("$" in cell for cell in cells)}
    total = prices.pop("**sum**")
    assert len(prices) == 8
    for column, said in enumerate(total):
        parts = (cells[column] for cells in prices.values())
        assert f"**${sum(float(part[1:]) for part in parts if part):.2f}**" == said


def test_a_small_cluster_holds_what_runs_on_it():
    """The pods of the overlay, and one more of the largest while it rolls, beside what EKS and the charts ask for."""
    try:
        pods = workloads(render("small"))
    except ToolMissing as missing:
        pytest.skip(str(missing))
    running = [pod for pod in pods if pod.owner["kind"] not in ("Job", "CronJob")]
    asked = {pod.title: _cpus(pod) for pod in running}
    assert not any("nvidia.com/gpu" in str(pod.pod) for pod in pods)
    group = re.search(r"system = {(.*)\n  }", _terraform("small.tfvars"), re.DOTALL)[1]
    nodes = int(re.search(r"min_size *= (\d+)", group)[1])
    # Of a node's two CPUs 1.93 are left to pods; EKS's own add-ons ask for 0.2 on each and 0.35 once, the charts for 1.
    assert sum(asked.values()) + max(asked.values()) <= nodes * (1.93 - 0.2) - 0.35 - 1


def _cpus(pod: Workload) -> float:
    written = [str(container["resources"]["requests"]["cpu"]) for container in pod.containers]
    return sum(float(cpus[:-1]) / 1000 if cpus.endswith("m") else float(cpus) for cpus in written)


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
