"""The cluster's objects through the ``kubernetes`` client: every call has a time limit, every refusal is a sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kfp_pipelines.cluster.api_server import FORBIDDEN, REQUEST_S, UNREACHABLE, body_of, said
from winnow.errors import WinnowError

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

Object = dict[str, Any]
"""A Kubernetes object, as parsed from JSON."""

MANAGER = "winnow-rollout"
"""Owner of the fields that a rollout writes, as ``kubectl get --show-managed-fields`` lists it."""

KINDS = {
    "InferenceService": "serving.kserve.io/v1beta1",
    "Job": "batch/v1",
    "CronJob": "batch/v1",
    "PodDisruptionBudget": "policy/v1",
    "Service": "v1",
    "ConfigMap": "v1",
    "Deployment": "apps/v1",
    "HTTPRoute": "gateway.networking.k8s.io/v1",
    "GRPCRoute": "gateway.networking.k8s.io/v1",
    "Lease": "coordination.k8s.io/v1",
}
"""Kind -> its API version."""

_REMEDIES = {403: FORBIDDEN, 404: "Apply an overlay of kserve_manifests/ first."}


class Conflict(WinnowError):
    """The object was changed since it was read, or exists already."""


class Unavailable(WinnowError):
    """The API server does not answer, or asks to come back later: the call may be repeated."""


class Objects:
    """The objects of one namespace.

    Args:
        client: of the cluster's API.
        namespace: of every object.

    All methods raise :class:`Unavailable` for a failure that may pass, :class:`Conflict` for a write that another one
    has overtaken, and ``WinnowError`` for other refusals.
    """

    def __init__(self, client: "ApiClient", namespace: str) -> None:
        from kubernetes.dynamic import DynamicClient

        self.namespace = namespace
        with _asking("read the kinds of the API", namespace):
            self._client: Any = DynamicClient(client)

    def get(self, kind: str, name: str) -> Object | None:
        """An object; ``None`` where there is none of the name."""
        from kubernetes.client import ApiException

        with _asking(f"read {kind} {name}", self.namespace):
            try:
                found: Object = self._kind(kind).get(name=name, **self._call).to_dict()
            except ApiException as error:
                if error.status == 404 and _reason(error) == "NotFound":
                    return None
                raise
        return found

    def must(self, kind: str, name: str) -> Object:
        """An object that has to exist."""
        if (found := self.get(kind, name)) is None:
            raise WinnowError(f"namespace {self.namespace} has no {kind} {name}. {_REMEDIES[404]}")
        return found

    def labelled(self, kind: str, selector: str) -> list[Object]:
        """The objects of a kind with some labels, apart from those that a controller made for another object."""
        with _asking(f"list {kind}s", self.namespace):
            listed = self._kind(kind).get(label_selector=selector, **self._call).to_dict()["items"]
        made = [each for each in listed if not each["metadata"].get("ownerReferences")]
        # The items of a list have neither.
        return [{"apiVersion": KINDS[kind], "kind": kind} | each for each in made]

    def apply(self, each: Object) -> None:
        """Create an object or set its fields on the server's side, as their owner."""
        with _asking(f"apply {_title(each)}", self.namespace):
            self._kind(each["kind"]).server_side_apply(
                body=each, field_manager=MANAGER, force_conflicts=True, **self._call
            )

    def create(self, each: Object) -> None:
        """Create an object."""
        with _asking(f"create {_title(each)}", self.namespace):
            self._kind(each["kind"]).create(body=each, field_manager=MANAGER, **self._call)

    def replace(self, each: Object) -> Object:
        """Write an object that was read, unless it has changed since; returns it as stored."""
        with _asking(f"change {_title(each)}", self.namespace):
            stored: Object = self._kind(each["kind"]).replace(body=each, field_manager=MANAGER, **self._call).to_dict()
        return stored

    def delete(self, kind: str, name: str) -> None:
        """Delete an object, if it exists, and then what controllers made for it."""
        from kubernetes.client import ApiException

        with _asking(f"delete {kind} {name}", self.namespace):
            try:
                self._kind(kind).delete(name=name, propagation_policy="Background", **self._call)
            except ApiException as error:
                if error.status != 404:
                    raise

    def _kind(self, kind: str) -> Any:
        return self._client.resources.get(api_version=KINDS[kind], kind=kind)

    @property
    def _call(self) -> dict[str, Any]:
        return {"namespace": self.namespace, "_request_timeout": REQUEST_S}


def _title(each: Object) -> str:
    return f"{each['kind']} {each['metadata']['name']}"


@contextmanager
def _asking(what: str, namespace: str) -> Iterator[None]:
    """Turn a failure of a call into a sentence."""
    from kubernetes.client import ApiException
    from kubernetes.dynamic.exceptions import ResourceNotFoundError
    from urllib3.exceptions import HTTPError

    try:
        yield
    except (ApiException, HTTPError, ResourceNotFoundError) as error:
        status = getattr(error, "status", None) or 0
        failed = f"cannot {what} in namespace {namespace}: {said(error)}"
        if status == 409:
            raise Conflict(failed) from error
        if isinstance(error, HTTPError) or status == 429 or status >= 500:
            raise Unavailable(f"{failed}. {UNREACHABLE}") from error
        raise WinnowError(f"{failed}. {_REMEDIES.get(status, UNREACHABLE)}") from error


def _reason(error: Exception) -> str:
    """Kubernetes' word for the kind of the failure; a missing kind of object has none."""
    return str(body_of(error).get("reason", ""))
