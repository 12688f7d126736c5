"""Jobs on the cluster: the export of events, Spark's feature extraction and training."""

import re
import subprocess
import sys
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from cluster_validation.manifests.objects import MANIFESTS, ROOT
from kfp_pipelines.train_job import RUNTIME, TrainJobSize, train_job
from tests.support.cluster.eks import add_on, chart_values, terraform_file


def test_spark_reads_the_data_set_to_which_events_are_exported():
    export = yaml.safe_load((MANIFESTS / "base" / "export.yaml").read_text())
    pod = export["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    arguments = add_on("SparkApplication", "feature-extraction")["spec"]["arguments"]
    data = arguments[arguments.index("--data") + 1].replace("s3a://", "s3://")
    assert pod["containers"][0]["args"] == [data] == ["s3://winnow-features/data"]
    assert re.search(rf'{pod["serviceAccountName"]} *= {{ winnow = \["feedback"\] }}', terraform_file("identity.tf"))


def test_jobs_use_service_accounts_with_a_role():
    roles = terraform_file("identity.tf")
    spark = add_on("SparkApplication", "feature-extraction")
    operator = chart_values("spark-operator")["spark"]
    assert spark["spec"]["driver"]["serviceAccount"] == operator["serviceAccount"]["name"]
    assert operator["jobNamespaces"] == [spark["metadata"]["namespace"]] == ["winnow-jobs"]
    pod = _pod()
    assert add_on("ServiceAccount", pod["serviceAccountName"])["metadata"]["namespace"] == "winnow-jobs"
    assert re.search(r'training *= \{ winnow-jobs = \["training"\] \}', roles)
    assert re.search(r'spark *= \{ winnow-jobs = \["spark"\] \}', roles)


def _job_set() -> dict[str, Any]:
    spec: dict[str, Any] = add_on("ClusterTrainingRuntime", "winnow-torch")["spec"]["template"]["spec"]
    return spec


def _job() -> dict[str, Any]:
    (job,) = _job_set()["replicatedJobs"]
    return job


def _pod() -> dict[str, Any]:
    pod: dict[str, Any] = _job()["template"]["spec"]["template"]["spec"]
    return pod


def test_the_training_pod_is_restricted_and_requests_a_gpu():
    (container,) = _pod()["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert _pod()["securityContext"]["runAsNonRoot"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in _pod()["volumes"]}
    # A TrainJob multiplies what the runtime requests for one GPU.
    one = train_job({"retriever": "s3://a/b"}, TrainJobSize(nodes=1, gpus=1, hours=1))["spec"]["trainer"]
    assert container["resources"] == one["resourcesPerNode"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_a_train_job_is_on_nodes_of_its_pool():
    selector, tolerations = _pod()["nodeSelector"], {each["key"] for each in _pod()["tolerations"]}
    pool = add_on("NodePool", selector["winnow/pool"])["spec"]["template"]
    assert selector.items() <= pool["metadata"]["labels"].items()
    assert {taint["key"] for taint in pool["spec"]["taints"]} == tolerations
    offered = {each["key"]: each.get("values") for each in pool["spec"]["requirements"]}
    assert offered["karpenter.sh/capacity-type"] == ["spot", "on-demand"]
    assert max(map(int, offered["karpenter.k8s.aws/instance-gpu-count"])) == 8
    with pytest.raises(ValidationError, match="less than or equal to 8"):
        TrainJobSize(nodes=1, gpus=9, hours=1)


def test_a_train_job_starts_again_when_a_node_or_a_rank_is_lost():
    """A lost rank ends the others, so the job set starts all of them; a lost node does not count as a failure."""
    job, policy = _job()["template"]["spec"], _job_set()["failurePolicy"]
    assert (job["backoffLimit"], job["template"]["spec"]["restartPolicy"]) == (0, "Never")
    (lost,) = job["podFailurePolicy"]["rules"]
    assert lost["action"] == "FailJob"
    assert [condition["type"] for condition in lost["onPodConditions"]] == ["DisruptionTarget"]
    (rule,) = policy["rules"]
    assert (rule["action"], rule["onJobFailureReasons"]) == ("RestartJobSetAndIgnoreMaxRestarts", ["PodFailurePolicy"])
    # JobSet's webhook refuses other names; its schema does not say so.
    assert re.fullmatch(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?", rule["name"])
    assert policy["maxRestarts"] == 3


def test_trainer_finds_the_container_that_it_gives_the_arguments_and_torchrun_s_environment():
    """By these names: pkg/constants of Kubeflow Trainer."""
    runtime = add_on("ClusterTrainingRuntime", RUNTIME)
    assert runtime["spec"]["mlPolicy"]["torch"] == {}
    assert _job()["name"] == "node"
    assert _job()["template"]["metadata"]["labels"] == {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}
    (container,) = _pod()["containers"]
    assert (container["name"], container["command"]) == ("node", ["torchrun", "-m", "winnow.training"])
    assert not {each["name"] for each in container["env"]} & {f"PET_{name}" for name in ("NNODES", "NPROC_PER_NODE")}


def test_the_spark_application_uses_the_pinned_spark_and_an_existing_entry_point():
    spec = add_on("SparkApplication", "feature-extraction")["spec"]
    assert f"pyspark=={spec['sparkVersion']}" in (ROOT / "constraints.txt").read_text().splitlines()
    dockerfile = (ROOT / "images" / spec["image"].split("/")[1].split(":")[0] / "Dockerfile").read_text()
    folder, _, module = spec["mainApplicationFile"].removeprefix("local://").partition("site-packages/")
    assert f"-DoutputDirectory={folder}site-packages/pyspark/jars" in dockerfile
    entry = (ROOT / module).read_text()
    parameters = re.search(r"def run\((.*?)\n\)", entry, re.DOTALL)[1]
    accepted = set(re.findall(r"(\w+): Annotated", parameters))
    assert {option[2:] for option in spec["arguments"][::2]} == accepted


ON_GLUE = """
import importlib.metadata, re, sys
allowed = set(sys.argv[1:])
owners = importlib.metadata.packages_distributions()

class OnlyAllowed:
    def find_spec(self, name, path=None, target=None):
        found = {re.sub(r"[-_.]+", "-", owner).lower() for owner in owners.get(name.partition(".")[0], ())}
        if found and not found & allowed:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, OnlyAllowed())
import ibis.backends.pyspark, winnow.features.spark.__main__
"""
"""Imports what the feature job does, where only the distributions of the command line are installed."""


def test_glue_installs_what_the_feature_job_imports_in_the_pinned_versions():
    """Without dependencies, so every distribution that Glue does not have must be in the list."""
    glues_own = ["numpy", "pandas", "py4j", "pyarrow", "pyspark", "python-dateutil", "pytz", "six"]
    installed = dict(re.findall(r'"([a-z-]+)==([^"]+)"', terraform_file("glue.tf")))
    pins = dict(re.findall(r"(\S+)==(\S+)", (ROOT / "constraints.txt").read_text()))
    assert installed == {name: pins[name] for name in installed}

    def imports(modules: list[str]) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "ignore", "-c", ON_GLUE, "winnow", *glues_own, *modules]
        return subprocess.run(command, capture_output=True, text=True, timeout=120)

    ended = imports(list(installed))
    assert ended.returncode == 0, ended.stderr
    assert (
        "No module named 'pyarrow_hotfix'" in imports([name for name in installed if name != "pyarrow-hotfix"]).stderr
    )
