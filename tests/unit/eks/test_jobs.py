"""Jobs on the cluster: the export of events, Spark's feature extraction and training."""

import re
from typing import Any

import yaml

from cluster_validation.manifests.objects import MANIFESTS, ROOT
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


def _pod() -> dict[str, Any]:
    (job,) = add_on("ClusterTrainingRuntime", "winnow-torch")["spec"]["template"]["spec"]["replicatedJobs"]
    pod: dict[str, Any] = job["template"]["spec"]["template"]["spec"]
    return pod


def test_the_training_pod_is_restricted_and_requests_a_gpu():
    (container,) = _pod()["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert _pod()["securityContext"]["runAsNonRoot"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in _pod()["volumes"]}


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
