"""A kubeconfig of a service account, so that a test has the account's rights and no more."""

from pathlib import Path

import yaml

from cluster_validation.api_server.server import ApiServer

PIPELINES = "system:serviceaccount:kubeflow:pipeline-runner"
"""The account of Kubeflow's pipelines."""


def create_pipelines_account(server: ApiServer) -> None:
    """Create the account as Kubeflow Pipelines does."""
    server.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kubeflow"}}])
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "pipeline-runner"}}
    server.apply([account], "--namespace=kubeflow")


def kubeconfig_of_pipelines(server: ApiServer) -> Path:
    """Write a kubeconfig with a token of the pipelines' account."""
    content = yaml.safe_load(server.kubeconfig.read_text())
    token = server.kubectl("create", "token", "pipeline-runner", "--namespace=kubeflow").strip()
    content["users"][0]["user"] = {"token": token}
    (cluster,) = content["clusters"]
    cluster["cluster"] = {
        "server": cluster["cluster"]["server"],
        "certificate-authority": str(server.kubeconfig.with_name("apiserver.crt")),
    }
    path = server.kubeconfig.with_name("pipelines")
    path.write_text(yaml.safe_dump(content))
    return path
