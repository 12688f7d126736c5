"""The step ``train`` on a cluster: its TrainJob's own command runs here, from and to a local S3 API."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from kfp import dsl

from cluster_validation.manifests.objects import EKS
from kfp_pipelines import components
from tests.support.cluster.train_jobs import ADDRESSES, Controller, report
from tests.support.paths import ROOT
from tests.support.small_shop import small_shop
from winnow import files
from winnow.datasets.ingest import ingest
from winnow.datasets.marketplace import MarketplaceSize
from winnow.errors import WinnowError
from winnow.features.extract import extract_folder
from winnow.ports import Ports

pytestmark = pytest.mark.filterwarnings(
    # The client of kfp's bounds (kubernetes < 31) calls what urllib3 2 has under another name.
    r"ignore:HTTPResponse\.getheaders?\(\) is deprecated:DeprecationWarning"
)


@pytest.fixture(scope="module")
def bucket(aws: None) -> None:
    boto3.client("s3").create_bucket(Bucket="winnow-artifacts")


@pytest.fixture(scope="module")
def features(bucket: None, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The features of a shop of few items, at their address."""
    folder = tmp_path_factory.mktemp("features")
    ingest(str(small_shop(folder / "shop")), folder / "dataset", "none", MarketplaceSize(), show_progress=False)
    extract_folder(folder / "dataset", folder / "encoders", folder / "features")
    extracted = folder / "features"
    for path in filter(Path.is_file, extracted.rglob("*")):
        files.upload(path, files.inside(ADDRESSES["features"], path.relative_to(extracted).as_posix()))


def run_pod(job: dict[str, Any]) -> None:
    """Run the container of a job's pod as the runtime and Trainer define it: command, arguments and environment."""
    (runtime,) = (EKS / "manifests" / "training").glob("training-runtime.yaml")
    (replicated,) = yaml.safe_load(runtime.read_text())["spec"]["template"]["spec"]["replicatedJobs"]
    (container,) = replicated["template"]["spec"]["template"]["spec"]["containers"]
    (program, *arguments) = [*container["command"], *job["spec"]["trainer"]["args"]]
    trainers = {"PET_NNODES": "1", "PET_NPROC_PER_NODE": "2", "PET_NODE_RANK": "0"}
    trainers |= {"PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": str(Ports.free().http)}
    ended = subprocess.run(
        [str(Path(sys.executable).with_name(program)), *arguments],
        env=os.environ | trainers | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]


def train(metrics: dsl.Metrics) -> None:
    """The pipeline's step, with artefacts on S3."""
    given = {name: dsl.Artifact(uri=address) for name, address in ADDRESSES.items()}
    size = {"nodes": 1, "gpus": 1, "hours": 1}
    settings = "{retriever: {max_epochs: 2}, ranker: {epochs: 1}}"
    components.train.python_func(**given, **size, settings=settings, profile="", train_on="trainjob", metrics=metrics)


def test_the_job_s_command_trains_from_s3_to_s3_and_the_step_reads_its_result(server, client, features, tmp_path):
    def act(job: dict[str, Any]) -> None:
        run_pod(job)
        report(server, job["metadata"]["name"], "Complete", "AllJobsCompleted", "done")

    metrics = dsl.Metrics(uri=str(tmp_path / "metrics"))
    with Controller(server, act) as controller:
        train(metrics)
    assert controller.job["spec"]["trainer"]["args"][-4:] == [
        *("--settings", "s3://winnow-artifacts/run/settings.json"),
        *("--checkpoints", "s3://winnow-artifacts/run/checkpoints"),
    ]
    result = json.loads(files.read(f"{ADDRESSES['retriever']}/result.json"))
    assert metrics.metadata == result["metrics"]
    assert set(metrics.metadata) == {"retriever_validation_ndcg@10"}
    inputs = json.loads(files.read(f"{ADDRESSES['retriever']}/inputs.json"))
    assert inputs == {"training": '{"retriever":{"max_epochs":2},"ranker":{"epochs":1}}'}
    used = json.loads(files.read(f"{ADDRESSES['retriever']}/training.json"))
    assert used["retriever"]["max_epochs"] == 2


def test_a_complete_job_without_a_result_is_an_error(server, client, bucket, tmp_path):
    def act(job: dict[str, Any]) -> None:
        files.write(f"{ADDRESSES['retriever']}/result.json", b'{"metrics": 1}')
        report(server, job["metadata"]["name"], "Complete", "AllJobsCompleted", "done")

    with (
        Controller(server, act),
        pytest.raises(WinnowError, match=r"is complete, but s3://.*/result\.json is not a r"),
    ):
        train(dsl.Metrics(uri=str(tmp_path / "metrics")))
