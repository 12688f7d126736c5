"""The cluster's API server: a client of it, the time limit of a call, and what a refusal says."""

import json
from typing import TYPE_CHECKING, Any

from winnow.errors import WinnowError

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

REQUEST_S = (5.0, 30.0)
"""Time limits of a call: to connect, and to read the response."""

UNREACHABLE = "Check the cluster's API server and the address in the kubeconfig."
"""The remedy for an API server that does not answer."""

FORBIDDEN = "The account of the pipelines needs its rights in that namespace: `make manifests` in eks/ applies them."
"""The remedy for a call that the account may not make."""


def this_cluster(otherwise: str) -> "ApiClient":
    """A client of the cluster that this pod runs in, as its service account; elsewhere of the current kubeconfig.

    Args:
        otherwise: what to do without a cluster, a sentence.

    Raises:
        WinnowError: there is no cluster.
    """
    from kubernetes import client, config

    try:
        config.load_config()
    except config.ConfigException as error:
        raise WinnowError(f"there is no cluster to work on: {error}. {otherwise}") from error
    return client.ApiClient()


def body_of(error: Exception) -> dict[str, Any]:
    """The object in the response of a failed call; empty without one."""
    try:
        body = json.loads(getattr(error, "body", "") or "")
    except (ValueError, TypeError):
        return {}
    return body if isinstance(body, dict) else {}


def said(error: Exception) -> str:
    """The message of a failed call's response, or of the connection's error."""
    if "message" in (body := body_of(error)):
        return f"the API server answered: {body['message']}"
    return " ".join(str(error).split())[:300]
