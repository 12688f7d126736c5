"""A real API server with Trainer's kinds, and a client with a token of the pipelines' account."""

from collections.abc import Iterator

import pytest
from kubernetes import config
from kubernetes.client import ApiClient

from cluster_validation.api_server.server import ApiServer, api_server
from cluster_validation.manifests.objects import EKS, ToolMissing
from kfp_pipelines import launching
from kfp_pipelines.cluster.api_server import this_cluster
from kfp_pipelines.train_job import NAMESPACE
from tests.support.cluster.accounts import create_pipelines_account, kubeconfig_of_pipelines


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    """An API server with the manifests of training, and the account that Kubeflow Pipelines installs."""
    try:
        with api_server() as running:
            create_pipelines_account(running)
            running.kubectl("apply", "-f", str(EKS / "manifests" / "jobs.yaml"))
            running.kubectl("apply", "-k", str(EKS / "manifests" / "training"))
            yield running
    except ToolMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def kubeconfig(server: ApiServer) -> str:
    """A kubeconfig with a token of the pipelines' account."""
    return str(kubeconfig_of_pipelines(server))


@pytest.fixture
def client(kubeconfig: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiClient]:
    for module in (config, config.kube_config):  # Both read KUBECONFIG when they are imported.
        monkeypatch.setattr(module, "KUBE_CONFIG_DEFAULT_LOCATION", kubeconfig)
    monkeypatch.setattr(launching, "POLL_S", 0.05)
    with this_cluster("") as connected:
        yield connected


@pytest.fixture(autouse=True)
def no_jobs(server: ApiServer) -> Iterator[None]:
    yield
    server.kubectl("delete", "trainjobs", "--all", f"--namespace={NAMESPACE}")
