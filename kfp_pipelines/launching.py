"""Launches a TrainJob and waits for it: shows its state, reports its failure, and deletes it where it is not needed.

The job is asked for its state every few seconds instead of being watched: a run takes minutes to hours, and a request
that fails is repeated with the next. A job that failed is left, so that the log of its pods can be read.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from kfp_pipelines.cluster.api_server import FORBIDDEN, REQUEST_S, UNREACHABLE, said
from kfp_pipelines.console import show
from kfp_pipelines.train_job import GROUP, NAMESPACE, OUTPUT, PLURAL, VERSION
from winnow.errors import WinnowError

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

POLL_S = 10.0
"""Seconds between two requests for a job's state."""

_REMEDIES = {
    403: FORBIDDEN,
    404: "The namespace and Kubeflow Trainer 2.2 or newer must be installed: `make addons manifests` in eks/.",
}


class TrainJobFailed(WinnowError):
    """A TrainJob failed; the message names job, condition and message, and the command that prints its log."""


class TrainJobs:
    """The TrainJobs of the cluster.

    Args:
        client: of the cluster's API.
    """

    def __init__(self, client: "ApiClient") -> None:
        from kubernetes.client import CustomObjectsApi

        self._api: Any = CustomObjectsApi(client)

    def run(self, job: dict[str, Any], limit_s: float) -> str:
        """Create a TrainJob and wait until it is complete; then it is deleted.

        An earlier job for the same output, which a killed pipeline step left, is deleted first. On Ctrl-C, SIGTERM, and
        past the time limit the job is deleted.

        Args:
            job: as :func:`~kfp_pipelines.train_job.train_job` makes it.
            limit_s: seconds to wait.

        Returns:
            The job's name.

        Raises:
            TrainJobFailed: the job failed; it is left for inspection.
            WinnowError: the API server refuses the job, it was deleted, or it is not complete within the time limit.
        """
        with _ended_by_sigterm():
            self._delete_earlier(job["metadata"]["labels"][OUTPUT])
            name = self._create(job)
            show(f"TrainJob {NAMESPACE}/{name}: created")
            try:
                self._wait(name, limit_s)
            except TrainJobFailed:
                raise
            except BaseException:
                self._delete(name)
                raise
            self._delete(name)
        return name

    def _create(self, job: dict[str, Any]) -> str:
        with _asking("create a TrainJob"):
            created = self._api.create_namespaced_custom_object(**_PLACE, body=job, _request_timeout=REQUEST_S)
        return str(created["metadata"]["name"])

    def _delete_earlier(self, output: str) -> None:
        with _asking("list TrainJobs"):
            selector = f"{OUTPUT}={output}"
            found = self._api.list_namespaced_custom_object(
                **_PLACE, label_selector=selector, _request_timeout=REQUEST_S
            )
        for job in found["items"]:
            self._delete(job["metadata"]["name"])

    def _delete(self, name: str) -> None:
        """Delete a job with its pods, if it exists. A failure is shown, because another error may be on its way."""
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        try:
            self._api.delete_namespaced_custom_object(**_PLACE, name=name, _request_timeout=REQUEST_S)
        except (ApiException, HTTPError) as error:
            if getattr(error, "status", None) != 404:
                show(
                    f"TrainJob {NAMESPACE}/{name}: could not be deleted, {said(error)}. Delete it: "
                    f"kubectl delete trainjob --namespace {NAMESPACE} {name}"
                )
            return
        show(f"TrainJob {NAMESPACE}/{name}: deleted")

    def _wait(self, name: str, limit_s: float) -> None:
        until, shown = time.monotonic() + limit_s, ""
        while True:
            job = self._found(name)
            state = _state(job) if job else "the API server does not answer; asking again"
            if state != shown:
                show(f"TrainJob {NAMESPACE}/{name}: {state}")
                shown = state
            if job and _condition(job, "Complete"):
                return
            if job and (failed := _condition(job, "Failed")):
                raise TrainJobFailed(
                    f"TrainJob {NAMESPACE}/{name} failed: {failed['reason']}: {failed['message']}. Its log: "
                    f"kubectl logs --namespace {NAMESPACE} --selector jobset.sigs.k8s.io/jobset-name={name} --prefix "
                    "--tail 100. Once the cause is fixed, retry the step: training continues from its last checkpoint."
                )
            if time.monotonic() > until:
                raise WinnowError(
                    f"TrainJob {NAMESPACE}/{name} was not complete after {limit_s / 3600:.1f} hours and is deleted; "
                    f"its last state: {state}. If nodes were missing, check the node pool and the account's quota of "
                    "GPUs; otherwise raise `hours`. Retry the step: training continues from its last checkpoint."
                )
            time.sleep(POLL_S)

    def _found(self, name: str) -> dict[str, Any] | None:
        """The job; ``None`` while the API server is unavailable."""
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        try:
            job: dict[str, Any] = self._api.get_namespaced_custom_object(
                **_PLACE, name=name, _request_timeout=REQUEST_S
            )
        except HTTPError:
            return None
        except ApiException as error:
            if error.status == 429 or error.status >= 500:
                return None
            if error.status == 404:
                raise WinnowError(
                    f"TrainJob {NAMESPACE}/{name} was deleted before it was complete. Retry the step: training "
                    "continues from its last checkpoint."
                ) from error
            with _asking("read a TrainJob"):
                raise
        return job


_PLACE = {"group": GROUP, "version": VERSION, "namespace": NAMESPACE, "plural": PLURAL}


def _condition(job: dict[str, Any], kind: str) -> dict[str, Any] | None:
    """A job's condition of a type, if it is true."""
    conditions = job.get("status", {}).get("conditions", ())
    return next((each for each in conditions if each["type"] == kind and each["status"] == "True"), None)


def _state(job: dict[str, Any]) -> str:
    """A job's state in a line: its true conditions and the states of its pods' jobs."""
    status = job.get("status", {})
    true = (each for each in status.get("conditions", ()) if each["status"] == "True")
    parts = [f"{each['type']} ({each['message']})" for each in true]
    counts = ("active", "ready", "succeeded", "failed", "suspended")
    for each in status.get("jobsStatus", ()):
        counted = ", ".join(f"{each[count]} {count}" for count in counts if each.get(count))
        parts.append(f"{each['name']}: {counted or 'not started'}")
    return "; ".join(parts) or "waiting for Kubeflow Trainer"


@contextmanager
def _asking(what: str) -> Iterator[None]:
    """Turn a refusal of the API server into a sentence."""
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except (ApiException, HTTPError) as error:
        remedy = _REMEDIES.get(getattr(error, "status", 0), UNREACHABLE)
        raise WinnowError(f"cannot {what} in namespace {NAMESPACE}: {said(error)}. {remedy}") from error


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM, by which Kubernetes ends a pod, raise an exception as Ctrl-C does."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
