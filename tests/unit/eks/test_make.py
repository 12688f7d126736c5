"""The targets of ``eks/Makefile``, with stand-ins for the tools that call AWS and a cluster."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from cluster_validation.charts.installed import installed
from cluster_validation.manifests.objects import EKS, ROOT, ToolMissing, add_ons, overlays, render
from cluster_validation.manifests.selectors import selects
from cluster_validation.manifests.workloads import Workload, workloads

FOREIGN = re.compile(r"image: winnow/|\b\d{12}\b|\bwinnow-(features|models|artifacts)\b")
"""Names of images, accounts and buckets that must have been replaced by this account's."""

TOOLS = {
    "terraform": 'case "$*" in *glue_job*) echo -n winnow-features;; '
    "*registry*) echo -n 1.dkr.ecr.aws/winnow;; *bucket*) echo -n winnow-1-eu;; "
    "*endpoint*) echo -n redis.local;; *user*) echo -n winnow-online;; *secret*) echo -n winnow/redis;; "
    "*region*) echo -n eu-west-1;; esac",
    "kubectl": 'if [[ $1 == kustomize ]]; then exec "$KUBECTL" "$@"; elif [[ "$*" == *"-f -"* ]]; then cat; '
    "elif [[ $1 == create ]]; then cat /dev/stdin; elif [[ $1 == get ]]; then exit 1; fi",
    "helm": 'echo "helm $*"',
    "aws": 'echo "aws $*" >> "$CALLS"; case "$*" in *get-random-password*) echo secretword;; '
    "*get-secret-value*) echo rediss://winnow-online:oldword@redis.local:6379/0;; "
    '*stdin*) cat >> "$CALLS";; "s3 sync"*) mkdir -p "$BUCKETS/${4#s3://}"; cp -r "$3/." "$BUCKETS/${4#s3://}";; esac',
}
"""Stand-ins that print or record their arguments."""


@pytest.fixture
def tools(tmp_path) -> dict[str, str]:
    for name, body in TOOLS.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not on the PATH")
    variables = {"CALLS": str(tmp_path / "calls"), "BUCKETS": str(tmp_path / "buckets"), "KUBECTL": kubectl}
    return os.environ | variables | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}


def _make(target: str, tools: dict[str, str], *arguments: str) -> str:
    command = ["make", "-s", "-C", str(EKS), target, *arguments]
    return subprocess.run(command, env=tools, capture_output=True, text=True, check=True, timeout=240).stdout


def test_manifests_get_the_registry_and_buckets_of_the_account(tools):
    applied = _make("manifests", tools)
    assert "image: 1.dkr.ecr.aws/winnow/training:0.2.0" in applied
    assert not FOREIGN.search(applied)


def test_packages_of_the_pipelines_get_the_registry_of_the_account(tools, tmp_path):
    _make("packages", tools, f"PACKAGES={tmp_path / 'packages'}", "TAG=Review_7")
    packages = {path.name: path.read_text() for path in (tmp_path / "packages").iterdir()}
    names = ("batch_recommendation", "feature_extraction", "promotion", "retraining", "rollback")
    assert set(packages) == {f"{name}.yaml" for name in names}
    for package in packages.values():
        assert set(re.findall(r"image: (\S+)", package)) == {"1.dkr.ecr.aws/winnow/training:Review_7"}


@pytest.mark.parametrize("overlay", overlays())
def test_served_objects_have_the_names_of_the_account_and_one_tag(tools, overlay):
    applied = _make("serve", tools, f"OVERLAY={overlay}", "TAG=Review_7")
    assert not FOREIGN.search(applied)
    objects = [found for found in yaml.safe_load_all(applied) if found]
    ours = re.findall(r"image: (\S*winnow/\S+)", applied)
    assert {image.rpartition("/")[0] for image in ours} == {"1.dkr.ecr.aws/winnow"}
    assert {image.rpartition(":")[2] for image in ours} == {"Review_7"}
    assert set(re.findall(r"s3://([^/\s]+)/", applied)) == {"winnow-1-eu-features", "winnow-1-eu-models"}
    jobs = [one["metadata"]["name"] for one in objects if one["kind"] == "Job"]
    assert jobs
    assert all(re.search(r"-publish-review-7-release-\d+$", name) for name in jobs)


def test_a_name_of_another_account_is_refused(tools):
    with pytest.raises(subprocess.CalledProcessError) as refused:
        subprocess.run(
            [EKS / "set-names", "1.dkr.ecr.aws/winnow", "winnow-1-eu", "a"],
            input="image: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/winnow/serving:0.2.0\n",
            capture_output=True,
            text=True,
            check=True,
        )
    assert "names of another account:\n1:image: 123456789012" in refused.value.stderr
    assert refused.value.stdout == ""


def test_images_and_manifests_have_the_same_tag(tools):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"winnow/serving:{version}\n" in _make("serve", tools)
    # `make -C .. images TAG=x` passes TAG in the environment.
    built = ["bash", "-c", f"{ROOT}/images/build serving"]
    docker = Path(tools["CALLS"]).with_name("docker")
    docker.write_text('#!/bin/bash\necho "$@"\n')
    docker.chmod(0o755)
    for environment, tag in ({}, version), ({"TAG": "x"}, "x"):
        done = subprocess.run(built, env=tools | environment, capture_output=True, text=True, check=True, timeout=60)
        assert f"--tag winnow/serving:{tag} ." in done.stdout
        assert "--platform linux/amd64" in done.stdout


def test_only_the_chosen_release_is_copied_to_the_bucket(tools, tmp_path):
    home = tmp_path / "home"
    for number, models in {1: ("ranker", "text_encoder"), 2: ("ranker",), 10: ("ranker",)}.items():
        parts = ("config.pbtxt", "configs/gpu.pbtxt", f"{number}/model.onnx")
        names = [f"model_repository/{number}/{model}/{part}" for model in models for part in parts]
        for name in (*names, f"releases/{number}/manifest.json"):
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (home / name).write_text(name)
    _make("release", tools, "RELEASE=2", f"WINNOW_HOME={home}")
    bucket = Path(tools["BUCKETS"]) / "winnow-1-eu-models"
    assert {str(path.relative_to(bucket)) for path in bucket.rglob("*") if path.is_file()} == {
        "releases/2/manifest.json",
        "model_repository/2/ranker/config.pbtxt",
        "model_repository/2/ranker/configs/gpu.pbtxt",
        "model_repository/2/ranker/2/model.onnx",
    }


def test_the_release_is_copied_from_the_home_that_step_4_builds(tools):
    (line,) = [line for line in _steps() if re.search(r"\bdemo\b", line)]
    command = line.split("#")[0].split()
    dry_run = ["make", "-n", "-w", *command[1:]] if command[0] == "make" else ["echo", f"Entering directory '{EKS}'"]
    printed = subprocess.run(dry_run, cwd=EKS, env=tools, capture_output=True, text=True, check=True, timeout=60).stdout
    built_in = Path(re.findall(r"Entering directory '(.*)'", printed)[0]) / ".winnow"
    read = re.search(r"aws s3 sync (\S+)/releases/1 ", _make("release", tools, "-n"))[1]
    assert (EKS / read).resolve() == built_in.resolve()


def _steps() -> list[str]:
    """The commands of the README, from nothing to a recommendation."""
    (block,) = re.findall(r"```bash\n(# 1\..*?)```", (EKS / "README.md").read_text(), re.DOTALL)
    return [line for line in block.splitlines() if line and not line.startswith("#")]


def test_the_example_of_alert_receivers_covers_every_severity(tools, tmp_path):
    (example,) = re.findall(r"```yaml\n(alertmanager:.*?)```", (EKS / "README.md").read_text(), re.DOTALL)
    config = yaml.safe_load(example)["alertmanager"]["config"]
    receivers = {one["name"] for one in config["receivers"]}
    routed = {config["route"]["receiver"], *(route["receiver"] for route in config["route"]["routes"])}
    assert routed <= receivers
    severities = set(
        re.findall(r"severity: (\w+)", (ROOT / "kserve_manifests/base/monitoring/alerts.yaml").read_text())
    )
    matched = {matcher for route in config["route"]["routes"] for matcher in route["matchers"]}
    assert {f'severity = "{severity}"' for severity in severities} <= matched
    assert (
        "ALERTS HAVE NO RECEIVER"
        in subprocess.run(
            ["make", "-s", "-C", str(EKS), "addons"], env=tools, capture_output=True, text=True, check=True, timeout=60
        ).stderr
    )


def test_each_spark_run_writes_to_its_own_output_and_prints_it(tools):
    applied = _make("features", tools, "RUN=7")
    assert "image: 1.dkr.ecr.aws/winnow/spark:0.2.0" in applied
    assert "- s3a://winnow-1-eu-features/data\n" in applied
    assert "- s3a://winnow-1-eu-features/features/point-in-time-7\n" in applied
    assert "point_in_time: s3://winnow-1-eu-features/features/point-in-time-7" in applied
    assert not FOREIGN.search(applied)


def test_a_glue_run_gets_the_script_the_wheel_and_an_output_of_its_own(tools):
    uv = Path(tools["CALLS"]).with_name("uv")
    uv.write_text('#!/bin/bash\nmkdir -p "$5"\ntouch "$5/winnow-0.2.0-py3-none-any.whl"\n')
    uv.chmod(0o755)
    said = _make("glue-features", tools, "RUN=7", "UV=uv")
    output = "s3://winnow-1-eu-features/features/point-in-time-7"
    assert said == f"Output, to pass as point_in_time: {output}\n"
    copied, started = Path(tools["CALLS"]).read_text().splitlines()
    assert copied.endswith(" ../build/glue s3://winnow-1-eu-features/glue")
    assert f'--job-name winnow-features --arguments {{"--output": "{output}"}}' in started
    script = ROOT / "build" / "glue" / "features.py"
    assert script.read_bytes() == (ROOT / "winnow" / "features" / "spark" / "__main__.py").read_bytes()


def test_only_one_node_autoscaler_is_installed(tools):
    karpenter = _make("addons", tools)
    assert karpenter.count("helm upgrade") == len(set(installed()) - {"cluster-autoscaler", "milvus"})
    assert "cluster-autoscaler" not in karpenter
    other = _make("addons", tools, "AUTOSCALER=cluster-autoscaler")
    assert "karpenter" not in other
    assert "--set awsRegion=eu-west-1" in other


def test_a_small_cluster_has_neither_gpus_nor_a_node_autoscaler(tools):
    small = _make("addons", tools, "SIZE=small")
    releases = re.findall(r"helm upgrade --install (\S+)", small)
    absent = {"karpenter", "cluster-autoscaler", "nvidia-device-plugin", "spark-operator", "kubeflow-trainer", "milvus"}
    assert set(releases) == set(installed()) - absent
    for path in (EKS / "values" / "small").iterdir():
        assert f"--values values/{path.stem}.yaml --values values/small/{path.name}" in small
    assert "TrainingRuntime" not in _make("manifests", tools, "SIZE=small", "AUTOSCALER=none")
    assert "kind: PersistentVolumeClaim" in _make("serve", tools, "SIZE=small")
    secrets = _make("secrets", tools, "SIZE=small")
    url, password = re.search(r"url=(\S+)\npassword=(\S+)", secrets).groups()
    assert url == f"redis://:{password}@redis:6379/0"


def test_milvus_is_installed_on_request_with_one_password_and_its_folder_of_the_bucket(tools):
    assert "milvus" not in _make("addons", tools) + _make("secrets", tools, "SIZE=small")
    installation = _make("addons", tools, "MILVUS=yes")
    assert "helm upgrade --install milvus milvus --repo https://zilliztech.github.io/milvus-helm" in installation
    assert "--set externalS3.bucketName=winnow-1-eu-features" in installation
    assert "--set externalS3.host=s3.eu-west-1.amazonaws.com" in installation
    secrets = _make("secrets", tools, "SIZE=small", "MILVUS=yes")
    assert re.search(r"^([0-9a-f]{64})root:\1", secrets, re.MULTILINE), secrets


def test_only_transformers_and_publishing_jobs_reach_milvus():
    policies = {each["metadata"]["name"]: each["spec"] for each in add_ons() if each["kind"] == "NetworkPolicy"}
    assert policies["default-deny"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    [client] = policies["clients"]["ingress"][0]["from"]
    rendered = render("milvus")
    admitted = [pod for pod in workloads(rendered) if selects(client["podSelector"], pod.labels)]
    assert {pod.labels["component"] for pod in admitted} == {"transformer", "publish"}
    # They are the pods that get the address, and whose own policy lets them out.
    assert admitted == [pod for pod in workloads(rendered) if "MILVUS_URL" in str(pod.pod)]
    [out] = [each for each in rendered.of("NetworkPolicy") if each["metadata"]["name"] == "milvus"]
    assert admitted == [pod for pod in workloads(rendered) if selects(out["spec"]["podSelector"], pod.labels)]


def test_the_costs_of_both_sizes_add_up():
    rows = re.findall(r"^\| (.*?) \|.*?\| (\S*) \|.*\| (\S* ?)\|$", (EKS / "README.md").read_text(), re.MULTILINE)
    prices = {name: cells for name, *cells in rows if any("$" in cell for cell in cells)}
    total = prices.pop("**sum**")
    assert len(prices) == 8
    for column, written in enumerate(total):
        parts = (cells[column] for cells in prices.values())
        assert f"**${sum(float(part[1:]) for part in parts if part.strip()):.2f}**" == written.strip()


def test_a_small_cluster_has_enough_cpus_for_its_pods():
    """The overlay's pods and one more of the largest, for a rolling update, fit beside EKS's and the charts' pods."""
    try:
        pods = workloads(render("small"))
    except ToolMissing as missing:
        pytest.skip(str(missing))
    running = [pod for pod in pods if pod.owner["kind"] not in ("Job", "CronJob")]
    requested = {pod.title: _cpus(pod) for pod in running}
    assert not any("nvidia.com/gpu" in str(pod.pod) for pod in pods)
    group = re.search(r"system = {(.*)\n  }", (EKS / "small.tfvars").read_text(), re.DOTALL)[1]
    nodes = int(re.search(r"min_size *= (\d+)", group)[1])
    # A node of two CPUs offers 1.93 to pods; EKS's add-ons request 0.2 per node and 0.35 once, the charts 1.
    assert sum(requested.values()) + max(requested.values()) <= nodes * (1.93 - 0.2) - 0.35 - 1


def _cpus(pod: Workload) -> float:
    quantities = [str(container["resources"]["requests"]["cpu"]) for container in pod.containers]
    return sum(float(cpus[:-1]) / 1000 if cpus.endswith("m") else float(cpus) for cpus in quantities)


def test_a_new_password_is_not_in_any_command_line_and_the_old_one_stays_valid(tools):
    _make("redis-password", tools)
    calls = Path(tools["CALLS"]).read_text()
    arguments = [line for line in calls.splitlines() if line.startswith("aws ")]
    assert [line for line in arguments if "secretword" in line or "oldword" in line] == []
    assert len(arguments) == 4
    assert '"Passwords": ["oldword", "secretword"]' in calls
    assert '"SecretString": "rediss://winnow-online:secretword@redis.local:6379/0"' in calls
    assert calls.index("modify-user") < calls.index("put-secret-value")
