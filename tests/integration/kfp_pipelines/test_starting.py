"""`winnow trigger --endpoint` against the API server of Kubeflow Pipelines."""

import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from kfp import Client, compiler
from typer.testing import CliRunner, Result

from kfp_pipelines.lifecycle.retraining import retraining
from tests.support.lifecycle.homes import add_release
from winnow import files
from winnow.cli.app import commands
from winnow.errors import WinnowError
from winnow.lifecycle.live import promote
from winnow.lifecycle.trigger import cluster
from winnow.lifecycle.trigger.pause import Starts
from winnow.ports import Ports

ENDPOINT = os.environ.get("WINNOW_KFP_ENDPOINT", "")
server = pytest.mark.skipif(not ENDPOINT, reason="WINNOW_KFP_ENDPOINT names no API server of Kubeflow Pipelines")

Trigger = Callable[..., Result]


@pytest.fixture(scope="module", autouse=True)
def homes(aws: None) -> None:
    boto3.client("s3").create_bucket(Bucket="homes")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A home of this test on S3, with a live release, and a rule that fires."""
    monkeypatch.setenv("WINNOW_HOME", str(tmp_path))
    monkeypatch.delenv("REDIS_URL", raising=False)
    address = f"s3://homes/{uuid.uuid4()}"
    add_release(tmp_path / "home", 1)
    for path in (tmp_path / "home").rglob("*"):
        if path.is_file():
            files.upload(path, files.inside(address, str(path.relative_to(tmp_path / "home"))))
    promote(address, 1)
    (tmp_path / "trigger.yaml").write_text("{staleness: {build_hours: 0.0000001}, pause_hours: 0.0000001}")
    return address


def trigger(endpoint: str, home: str) -> Result:
    return CliRunner().invoke(commands, ["trigger", "--endpoint", endpoint, "--home", home])


def runs(client: Any, home: str) -> list[Any]:
    found = client.list_runs(page_size=100, sort_by="created_at desc").runs or []
    return [run for run in found if (run.runtime_config.parameters or {}).get("home") == home]


@server
@pytest.mark.filterwarnings("ignore:This client only works with:FutureWarning")
def test_a_run_starts_and_no_second_beside_it(home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(host=ENDPOINT)
    monkeypatch.setattr(cluster, "PIPELINE", f"retraining-{uuid.uuid4()}")
    missing = trigger(ENDPOINT, home)
    assert isinstance(missing.exception, WinnowError)
    assert f"has no pipeline {cluster.PIPELINE}: upload its package" in str(missing.exception)
    assert Starts(home).last is None
    package = str(tmp_path / "retraining.yaml")
    compiler.Compiler().compile(retraining, package)
    uploaded = client.upload_pipeline(package, pipeline_name=cluster.PIPELINE)

    started = trigger(ENDPOINT, home)
    assert started.exit_code == 0, started.output
    [run] = runs(client, home)
    assert f"started run {run.run_id}" in started.output
    assert run.pipeline_version_reference.pipeline_id == uploaded.pipeline_id
    given = run.runtime_config.parameters
    assert (given["home"], given["data"], given["items"], given["training"]) == (home, "", 2000, "")
    assert given.keys() <= retraining.component_spec.inputs.keys()
    assert client.get_experiment(run.experiment_id).display_name == "trigger"

    beside = trigger(ENDPOINT, home)
    assert (beside.exit_code, len(runs(client, home))) == (0, 1)
    assert f"the run {run.display_name!r} of {home} has not ended: none was started" in beside.output
    # Of a run that ended nothing is left in the way.
    client.terminate_run(run.run_id)
    client.archive_run(run.run_id)
    client.delete_run(run.run_id)
    assert trigger(ENDPOINT, home).exit_code == 0
    assert len(runs(client, home)) == 1


def test_a_server_that_does_not_answer_is_named_and_nothing_is_recorded(home: str) -> None:
    endpoint = f"http://127.0.0.1:{Ports.free().http}"
    result = trigger(endpoint, home)
    assert isinstance(result.exception, WinnowError)
    assert f"Kubeflow Pipelines at {endpoint} did not start a run: " in str(result.exception)
    assert Starts(home).last is None
