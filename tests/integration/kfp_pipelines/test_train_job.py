"""The pipeline's TrainJob on a real API server with Trainer's kinds, as the pipelines' service account.

The test plays Trainer's controller: it writes a job's status through the status subresource, as the controller does.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from typing import Any

import pytest
from kubernetes.client import ApiClient

from cluster_validation.api_server.server import Refused
from cluster_validation.manifests.objects import EKS
from kfp_pipelines.launching import TrainJobFailed, TrainJobs
from kfp_pipelines.train_job import NAMESPACE, OUTPUT, TrainJobSize, train_job
from tests.support.cluster.train_jobs import ADDRESSES, Controller, jobs, report
from tests.support.paths import ROOT
from tests.support.until import until
from winnow.errors import WinnowError

pytestmark = pytest.mark.filterwarnings(
    # The client of kfp's bounds (kubernetes < 31) calls what urllib3 2 has under another name.
    r"ignore:HTTPResponse\.getheaders?\(\) is deprecated:DeprecationWarning"
)

ACCOUNT = "system:serviceaccount:kubeflow:pipeline-runner"
SIZE = TrainJobSize(nodes=2, gpus=4, hours=3)


def run(client: ApiClient, limit_s: float = 60) -> str:
    return TrainJobs(client).run(train_job(ADDRESSES, SIZE), limit_s)


def test_a_complete_job_has_shown_its_states_and_is_deleted(server, client, capsys):
    counts = dict.fromkeys(("ready", "succeeded", "failed", "active", "suspended"), 0)

    def act(job: dict[str, Any]) -> None:
        name = job["metadata"]["name"]
        for kind, reason, message, active in (
            ("Suspended", "Suspended", "TrainJob is suspended", 0),
            ("Complete", "AllJobsCompleted", "jobset completed successfully", 1),
        ):
            report(server, name, kind, reason, message, jobsStatus=[{"name": "node", **counts, "active": active}])
            until(lambda said=message: said in (shown.append(capsys.readouterr().out) or "".join(shown)))

    shown: list[str] = []
    with Controller(server, act) as controller:
        name = run(client)
    lines = ("".join(shown) + capsys.readouterr().out).splitlines()
    assert lines == [
        f"winnow: TrainJob winnow-jobs/{name}: {state}"
        for state in (
            "created",
            "waiting for Kubeflow Trainer",
            "Suspended (TrainJob is suspended); node: not started",
            "Complete (jobset completed successfully); node: 1 active",
            "deleted",
        )
    ]
    assert jobs(server) == []
    spec = controller.job["spec"]
    assert spec["runtimeRef"]["name"] == "winnow-torch"
    assert spec["activeDeadlineSeconds"] == 3 * 3600
    assert spec["trainer"]["numNodes"] == 2
    assert spec["trainer"]["resourcesPerNode"]["limits"] == {"memory": "48Gi", "nvidia.com/gpu": "4"}
    assert spec["trainer"]["args"][:2] == ["--features", "s3://winnow-artifacts/run/features"]


def test_a_failed_job_is_left_and_its_error_names_job_condition_and_command(server, client):
    message = "jobset failed due to reaching max number of restarts"
    with (
        Controller(
            server, lambda job: report(server, job["metadata"]["name"], "Failed", "ReachedMaxRestarts", message)
        ),
        pytest.raises(TrainJobFailed) as failed,
    ):
        run(client)
    (left,) = jobs(server)
    name = left["metadata"]["name"]
    assert str(failed.value).startswith(
        f"TrainJob winnow-jobs/{name} failed: ReachedMaxRestarts: {message}. Its log: kubectl logs --namespace "
        f"winnow-jobs --selector jobset.sigs.k8s.io/jobset-name={name} --prefix --tail 100. "
    )


def test_past_the_time_limit_the_job_is_deleted(server, client):
    with pytest.raises(WinnowError, match=r"winnow-train-\w+ was not complete after 0\.0 hours and is deleted; its"):
        run(client, limit_s=0.3)
    assert jobs(server) == []


def test_a_job_that_is_deleted_meanwhile_is_an_error(server, client):
    with (
        Controller(server, lambda job: server.kubectl("delete", "trainjobs", "--all", f"--namespace={NAMESPACE}")),
        pytest.raises(WinnowError, match=r"winnow-train-\w+ was deleted before it was complete\. Retry the step"),
    ):
        run(client)


def test_an_earlier_job_for_the_same_output_is_deleted_first(server, client):
    size = SIZE.model_copy(update={"nodes": 1})
    other = train_job(ADDRESSES | {"retriever": "s3://winnow-artifacts/other/retriever"}, size)
    server.kubectl("create", "-f", "-", objects=[train_job(ADDRESSES, size), other])
    with pytest.raises(WinnowError, match="was not complete"):
        run(client, limit_s=0.1)
    (left,) = jobs(server)
    assert left["metadata"]["labels"] == other["metadata"]["labels"] != train_job(ADDRESSES, size)["metadata"]["labels"]
    assert OUTPUT in left["metadata"]["labels"]


def test_an_outage_of_the_api_server_does_not_end_the_wait(server, client, capsys):
    host = client.configuration.host
    client.configuration.refresh_api_key_hook = None  # It would set the host again before every request.
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = f"https://127.0.0.1:{unused.getsockname()[1]}"

    def act(job: dict[str, Any]) -> None:
        shown: list[str] = []
        client.configuration.host = closed
        until(lambda: "does not answer" in (shown.append(capsys.readouterr().out) or "".join(shown)))
        client.configuration.host = host
        report(server, job["metadata"]["name"], "Complete", "AllJobsCompleted", "done")

    with Controller(server, act):
        run(client)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_cancelled_step_deletes_its_job(server, kubeconfig, number):
    code = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "from kfp_pipelines.cluster.api_server import this_cluster\n"
        "from kfp_pipelines.launching import TrainJobs\n"
        "from kfp_pipelines.train_job import TrainJobSize, train_job\n"
        "job = train_job({'retriever': 's3://a/b'}, TrainJobSize(nodes=1, gpus=1, hours=1))\n"
        "TrainJobs(this_cluster('')).run(job, 60)"
    )
    step = subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"KUBECONFIG": kubeconfig, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        until(lambda: jobs(server), 60)
        assert step.stdout
        assert step.stdout.readline().endswith(": created\n")
        step.send_signal(number)
        output, _ = step.communicate(timeout=240)
    finally:
        step.kill()
    assert step.returncode, output
    assert ": deleted\n" in output
    assert jobs(server) == []


def test_the_pipelines_account_may_launch_train_jobs_there_and_nothing_else(server):
    def may(verb: str, resource: str, *place: str) -> bool:
        try:
            return server.kubectl("auth", "can-i", verb, resource, f"--as={ACCOUNT}", *place).strip() == "yes"
        except Refused:  # kubectl's exit code for "no"
            return False

    here = f"--namespace={NAMESPACE}"
    assert all(may(verb, "trainjobs.trainer.kubeflow.org", here) for verb in ("create", "delete", "get", "list"))
    forbidden = [(verb, "trainjobs.trainer.kubeflow.org", here) for verb in ("update", "patch", "deletecollection")]
    forbidden += [("create", "trainjobs.trainer.kubeflow.org", place) for place in ("--namespace=default", "-A")]
    forbidden += [(verb, "pods", here) for verb in ("create", "get")]
    forbidden += [("get", "secrets", here), ("create", "clustertrainingruntimes.trainer.kubeflow.org", "-A")]
    assert [each for each in forbidden if may(*each)] == []


def test_a_refused_launch_names_the_account_and_the_remedy(server, client):
    server.kubectl("delete", "rolebinding", "launch-train-jobs", f"--namespace={NAMESPACE}")
    try:
        with pytest.raises(WinnowError, match=rf'User "{ACCOUNT}" cannot list .*The account of the pipelines needs'):
            until_revoked(client)
    finally:
        server.kubectl("apply", "-k", str(EKS / "manifests" / "training"))


def until_revoked(client: ApiClient) -> None:
    """Launch until the API server's cache of role bindings has followed the deletion."""
    for _ in range(100):
        try:
            run(client, limit_s=0)
        except WinnowError as error:
            if "was not complete" not in str(error):
                raise
        time.sleep(0.1)
