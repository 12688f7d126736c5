"""The two chains on the cluster: the canary comes and goes, the stable chain gets a release, both become ready."""

import copy
from collections.abc import Sequence
from typing import Any

from kfp_pipelines.rollout.chain import CHAIN, RELEASE, applied, derived, job_of, parts_of
from kfp_pipelines.rollout.objects import Object, Objects
from kfp_pipelines.rollout.settings import Place
from winnow.errors import WinnowError


class Broken(WinnowError):
    """A chain will not become ready: the Job that publishes its release has failed."""


class Chains:
    """The chains of a place.

    Args:
        objects: of the chains' namespace.
        place: where the chains are.
    """

    def __init__(self, objects: Objects, place: Place) -> None:
        self._objects = objects
        self._place = place

    def start_canary(self, release: int) -> list[Object]:
        """Apply the canary's chain; one that is applied already is left as it is. Returns its objects."""
        chain = derived(applied(self._objects, self._place.chain), self._place.chain, self._place.canary, release)
        for each in chain:
            self._objects.apply(each)
        return chain

    def give_stable(self, release: int) -> list[Object]:
        """Change the stable chain's release, and nothing else of it. Returns its objects.

        An object is written as it was read, apart from the release: so this owns the changed fields alone, and
        ``kubectl apply`` of an overlay keeps the others.
        """
        name = self._place.chain
        current = applied(self._objects, name)
        chain = derived(current, name, name, release)
        held = {(each["kind"], each["metadata"]["name"]): each for each in current}
        for each in chain:
            found = held.get((each["kind"], each["metadata"]["name"]))
            if found is None:
                self._objects.create(each)
                continue
            changed = copy.deepcopy(found) | {key: each[key] for key in ("spec", "data") if key in each}
            changed["metadata"]["labels"] = each["metadata"].get("labels", {})
            if each["kind"] != "Job" and changed != found:  # A Job's pods do not change.
                self._objects.replace(changed)
        return chain

    def is_ready(self, chain: Sequence[Object], release: int) -> bool:
        """Whether every pod of a chain is of a release and ready, and the release is published.

        The condition ``Ready`` alone says neither which release is ready, nor that no pod of another one is left.

        Args:
            chain: its objects, as :meth:`start_canary` and :meth:`give_stable` return them.
            release: that it has to serve.

        Raises:
            Broken: its release could not be published.
        """
        job = self._objects.get("Job", job_of(chain)) or {}
        if _has(job, "Failed"):
            raise Broken(
                f"Job {job_of(chain)} failed to publish release {release}: kubectl logs -n {self._objects.namespace} "
                f"job/{job_of(chain)}"
            )
        name = next(each["metadata"]["name"] for each in chain if each["kind"] == "InferenceService")
        return (
            _has(job, "Complete")
            and all(_rolled_out(self._objects.get("Deployment", f"{name}-{part}"), release) for part in parts_of(chain))
            and _has(self._objects.get("InferenceService", name) or {}, "Ready")
        )

    def canary_without_pods(self) -> str:
        """The first part of the canary without an available pod; empty where every part has one."""
        name = self._place.canary
        service = self._objects.get("InferenceService", name)
        if service is None:
            return name
        for part in parts_of([service]):
            deployment = self._objects.get("Deployment", f"{name}-{part}") or {}
            if not deployment.get("status", {}).get("availableReplicas"):
                return f"{name}-{part}"
        return ""

    def remove_canary(self) -> None:
        """Delete the canary's chain, its pods first."""
        for each in reversed(applied(self._objects, self._place.canary)):
            self._objects.delete(each["kind"], each["metadata"]["name"])

    def has_canary(self) -> bool:
        """Whether any object of a canary exists."""
        return bool(applied(self._objects, self._place.canary))

    def remove_other_jobs(self, release: int) -> None:
        """Delete the stable chain's Jobs that published other releases."""
        for each in self._objects.labelled("Job", f"{CHAIN}={self._place.chain}"):
            if not each["metadata"]["name"].endswith(f"-release-{release}"):
                self._objects.delete("Job", each["metadata"]["name"])


def _has(each: Object, condition: str) -> bool:
    conditions: Sequence[dict[str, Any]] = each.get("status", {}).get("conditions") or ()
    return any(one["type"] == condition and one["status"] == "True" for one in conditions)


def _rolled_out(deployment: Object | None, release: int) -> bool:
    """Whether all pods of a deployment are of its newest template, which is of a release, and available."""
    if deployment is None:
        return False
    labels = deployment["spec"]["template"]["metadata"].get("labels", {})
    status, wanted = deployment.get("status") or {}, deployment["spec"].get("replicas", 1)
    counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")]
    return (
        labels.get(RELEASE) == str(release)
        and status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
        and wanted > 0
        and counts == [wanted] * 3
    )
