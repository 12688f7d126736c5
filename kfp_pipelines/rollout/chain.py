"""A chain's objects with another name, another release, or both: the canary, and the stable chain when it is promoted.

They are made of the stable chain as it is applied, not of files: so the canary has the account's registry and buckets,
and the overlay and the patches of the stable chain, and differs in what ``kserve_manifests/chain`` says that differs
between chains. A chain's name is in names, labels, selectors, its services' addresses and the queries of its triggers;
its release is in addresses of buckets, a label and the name of the Job that publishes it.
"""

import re
from collections.abc import Sequence
from typing import Any

from kfp_pipelines.rollout.objects import Object, Objects
from winnow.errors import WinnowError

CHAIN, RELEASE = "winnow/chain", "winnow/release"
"""Labels: the chain of an object, and the release of its pods."""

_SERVED_BY = "serving.kserve.io/inferenceservice"
_MADE_OF = ("ConfigMap", "PodDisruptionBudget", "Service", "CronJob", "Job", "InferenceService")
"""In the order in which they are applied: pods last. ``kserve_manifests/chain`` has no other kinds."""

_ADDRESS = re.compile(r"(s3://[^/]+/(?:releases|model_repository)/)\d+/")
_PUBLISHES = re.compile(r"-release-\d+$")

_WRITTEN_BY_THE_CLUSTER = ("controller-uid", "job-name")
"""Labels of a Job's pods, alone or after ``batch.kubernetes.io/``."""


def applied(objects: Objects, chain: str) -> list[Object]:
    """The objects of a chain on the cluster, as they were read.

    Args:
        objects: of the chain's namespace.
        chain: its name.
    """
    return [each for kind in _MADE_OF for each in objects.labelled(kind, f"{CHAIN}={chain}")]


def release_of(chain: Sequence[Object]) -> int:
    """The release that a chain serves.

    Raises:
        WinnowError: the chain has no InferenceService, or its label is no number.
    """
    services = [each for each in chain if each["kind"] == "InferenceService"]
    if len(services) != 1:
        raise WinnowError(
            f"the stable chain must have one InferenceService with its label {CHAIN}, found {len(services)}. Apply an "
            "overlay of kserve_manifests/ first."
        )
    given = services[0]["metadata"]["labels"].get(RELEASE, "")
    if not given.isdecimal():
        raise WinnowError(
            f"InferenceService {services[0]['metadata']['name']}: label {RELEASE} must be the number of a release, got "
            f"{given!r}. Apply its overlay again."
        )
    return int(given)


def derived(chain: Sequence[Object], name: str, new_name: str, release: int) -> list[Object]:
    """A chain's objects, each as it was applied, with another name and release.

    Args:
        chain: as :func:`applied` returns it.
        name: of the chain.
        new_name: of the chain to make; ``name`` to change the release alone.
        release: number of the release to serve.

    Raises:
        WinnowError: the chain has no Job that publishes its release.
    """
    current = release_of(chain)
    services = [each["metadata"]["name"] for each in chain if each["kind"] == "Service"]
    made = []
    for each in chain:
        job = each["kind"] == "Job"
        if job and not each["metadata"]["name"].endswith(f"-release-{current}"):
            continue  # of an earlier release
        changed: Object = _changed(_as_applied(each), name, new_name, release, services)
        metadata = changed["metadata"]
        metadata["name"] = new_name + metadata["name"].removeprefix(name)
        if job:
            metadata["name"] = _PUBLISHES.sub(f"-release-{release}", metadata["name"])
        if each["kind"] == "ConfigMap":
            changed["data"] = each["data"] | {"chain": new_name, "release": str(release)}
        made.append(changed)
    if not any(each["kind"] == "Job" for each in made):
        raise WinnowError(
            f"chain {name} has no Job that publishes its release {current}, of which the next one's is made. Apply the "
            "overlay again; a Job that has run already ends at once."
        )
    return made


def job_of(chain: Sequence[Object]) -> str:
    """Name of the Job that publishes the release of a derived chain."""
    return next(str(each["metadata"]["name"]) for each in chain if each["kind"] == "Job")


def parts_of(chain: Sequence[Object]) -> list[str]:
    """The parts of a derived chain, which are deployments of their own."""
    service = next(each for each in chain if each["kind"] == "InferenceService")
    return [part for part in ("predictor", "transformer") if service["spec"].get(part)]


def _as_applied(each: Object) -> Object:
    """An object without what the API server and the controllers wrote into it."""
    metadata = each["metadata"]
    annotations = {
        key: value
        for key, value in metadata.get("annotations", {}).items()
        if not key.startswith(("kubectl.kubernetes.io/", "batch.kubernetes.io/"))
    }
    kept = {key: metadata[key] for key in ("name", "namespace") if key in metadata}
    kept["labels"] = _labels(metadata)
    bare = {key: value for key, value in each.items() if key not in ("metadata", "status")}
    bare["metadata"] = kept | ({"annotations": annotations} if annotations else {})
    if each["kind"] == "Job":
        template = each["spec"]["template"]
        bare["spec"] = {key: value for key, value in each["spec"].items() if key != "selector"}
        bare["spec"]["template"] = template | {"metadata": {"labels": _labels(template["metadata"])}}
    return bare


def _labels(metadata: Object) -> dict[str, str]:
    """The labels, without those by which a Job finds its pods."""
    labels: dict[str, str] = metadata["labels"]
    return {key: value for key, value in labels.items() if key.rpartition("/")[2] not in _WRITTEN_BY_THE_CLUSTER}


def _changed(value: Any, name: str, new_name: str, release: int, services: Sequence[str]) -> Any:
    """A value, and all in it, with the chain's new name and release."""
    if isinstance(value, list):
        return [_changed(each, name, new_name, release, services) for each in value]
    if isinstance(value, dict):
        changed = {key: _changed(each, name, new_name, release, services) for key, each in value.items()}
        changed |= {key: new_name for key in (CHAIN, _SERVED_BY) if value.get(key) == name}
        return changed | ({RELEASE: str(release)} if RELEASE in value else {})
    if not isinstance(value, str):
        return value
    host, colon, port = value.partition(":")
    if host in services and port.isdecimal():
        return new_name + host.removeprefix(name) + colon + port
    return _ADDRESS.sub(rf"\g<1>{release}/", value).replace(f'{{chain="{name}"}}', f'{{chain="{new_name}"}}')
