"""The targets of ``eks/Makefile``, with stand-ins for the tools that talk to AWS and to a cluster."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from validation import charts
from validation.objects import ToolMissing, overlays, render
from validation.workloads import Workload, workloads

ROOT = Path(__file__).parents[2]
EKS = ROOT / "eks"

FOREIGN = re.compile(r"image: winnow/|\b\d{12}\b|\bwinnow-(features|models|artifacts)\b")
"""What has the name of another account, or of none."""

TOOLS = {
    "terraform": 'case "$*" in *registry*) echo -n 1.dkr.ecr.aws/winnow;; *bucket*) echo -n winnow-1-eu;; '
    "*endpoint*) echo -n redis.local;; *user*) echo -n winnow-online;; *secret*) echo -n winnow/redis;; "
    "*region*) echo -n eu-west-1;; esac",
    "kubectl": 'if [[ $1 == kustomize ]]; then exec "$KUBECTL" "$@"; elif [[ "$*" == *"-f -"* ]]; then cat; '
    "elif [[ $1 == create ]]; then cat /dev/stdin; elif [[ $1 == get ]]; then exit 1; fi",
    "helm": 'echo "helm $*"',
    "aws": 'echo "aws $*" >> "$CALLS"; case "$*" in *get-random-password*) echo secretword;; '
    "*get-secret-value*) echo rediss://winnow-online:oldword@redis.local:6379/0;; "
    '*stdin*) cat >> "$CALLS";; "s3 sync"*) mkdir -p "$BUCKETS/${4#s3://}"; cp -r "$3/." "$BUCKETS/${4#s3://}";; esac',
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
    assert "image: 1.dkr.ecr.aws/winnow/training:0.2.0" in applied
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
    assert jobs
    assert all(re.search(r"-publish-review-7-release-\d+$", name) for name in jobs)


def test_what_would_be_another_accounts_is_refused(tools):
    with pytest.raises(subprocess.CalledProcessError) as refused:
        subprocess.run(
            [EKS / "ours", "1.dkr.ecr.aws/winnow", "winnow-1-eu", "a"],
            input="image: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/winnow/serving:0.2.0\n",
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
    severities = set(
        re.findall(r"severity: (\w+)", (ROOT / "kserve_manifests/base/monitoring/alerts.yaml").read_text())
    )
    matched = {matcher for route in config["route"]["routes"] for matcher in route["matchers"]}
    assert {f'severity = "{severity}"' for severity in severities} <= matched
    assert (
        "NOBODY IS TOLD OF AN ALERT"
        in subprocess.run(
            ["make", "-s", "-C", str(EKS), "addons"], env=tools, capture_output=True, text=True, check=True, timeout=60
        ).stderr
    )


def test_each_spark_run_has_an_output_of_its_own_and_says_where(tools):
    applied = _make("features", tools, "RUN=7")
    assert "image: 1.dkr.ecr.aws/winnow/spark:0.2.0" in applied
    assert "- s3a://winnow-1-eu-features/data\n" in applied
    assert "- s3a://winnow-1-eu-features/features/point-in-time-7\n" in applied
    assert "point_in_time: s3://winnow-1-eu-features/features/point-in-time-7" in applied
    assert not FOREIGN.search(applied)


def test_only_one_node_autoscaler_is_installed(tools):
    karpenter = _make("addons", tools)
    assert karpenter.count("helm upgrade") == len(charts.installed()) - 1
    assert "cluster-autoscaler" not in karpenter
    other = _make("addons", tools, "AUTOSCALER=cluster-autoscaler")
    assert "karpenter" not in other
    assert "--set awsRegion=eu-west-1" in other


def test_a_small_cluster_has_neither_gpus_nor_what_adds_nodes(tools):
    small = _make("addons", tools, "SIZE=small")
    installed = re.findall(r"helm upgrade --install (\S+)", small)
    absent = {"karpenter", "cluster-autoscaler", "nvidia-device-plugin", "spark-operator", "kubeflow-trainer"}
    assert set(installed) == set(charts.installed()) - absent
    for path in (EKS / "values" / "small").iterdir():
        assert f"--values values/{path.stem}.yaml --values values/small/{path.name}" in small
    assert "TrainingRuntime" not in _make("manifests", tools, "SIZE=small", "AUTOSCALER=none")
    assert "kind: PersistentVolumeClaim" in _make("serve", tools, "SIZE=small")
    secrets = _make("secrets", tools, "SIZE=small")
    url, password = re.search(r"url=(\S+)\npassword=(\S+)", secrets).groups()
    assert url == f"redis://:{password}@redis:6379/0"


def test_what_the_two_sizes_cost_adds_up():
    rows = re.findall(r"^\| (.*?) \|.*?\| (\S*) \|.*\| (\S* ?)\|$", (EKS / "README.md").read_text(), re.MULTILINE)
    prices = {name: cells for name, *cells in rows if any("$" in cell for cell in cells)}
    total = prices.pop("**sum**")
    assert len(prices) == 8
    for column, said in enumerate(total):
        parts = (cells[column] for cells in prices.values())
        assert f"**${sum(float(part[1:]) for part in parts if part.strip()):.2f}**" == said.strip()


def test_a_small_cluster_holds_what_runs_on_it():
    """The pods of the overlay, and one more of the largest while it rolls, beside what EKS and the charts ask for."""
    try:
        pods = workloads(render("small"))
    except ToolMissing as missing:
        pytest.skip(str(missing))
    running = [pod for pod in pods if pod.owner["kind"] not in ("Job", "CronJob")]
    asked = {pod.title: _cpus(pod) for pod in running}
    assert not any("nvidia.com/gpu" in str(pod.pod) for pod in pods)
    group = re.search(r"system = {(.*)\n  }", (EKS / "small.tfvars").read_text(), re.DOTALL)[1]
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
