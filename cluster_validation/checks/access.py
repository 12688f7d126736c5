"""Access control is on in every chain, and what is open without a key can be read in the manifests."""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cluster_validation.manifests.objects import Finding, Objects, title
from cluster_validation.manifests.workloads import Workload, workloads
from winnow.errors import WinnowError
from winnow.settings.access import read

_FLAG = "--access-file="


def check(objects: Objects) -> Iterator[Finding]:
    """The transformers' ``--access-file``, its volume, and the ConfigMap in it."""
    for pod in workloads(objects):
        for container in pod.containers:
            if "recommender_transformer" in container.get("command", ()):
                yield from _container(objects, pod, container)


def _container(objects: Objects, pod: Workload, container: Mapping[str, Any]) -> Iterator[Finding]:
    where = f"container {container['name']}"
    folder = next((arg.removeprefix(_FLAG) for arg in container["args"] if arg.startswith(_FLAG)), None)
    if folder is None:
        yield Finding(
            pod.title, where, f"{_FLAG.rstrip('=')} is missing: every caller could write items and erase users"
        )
        return
    mounted = next((mount for mount in container["volumeMounts"] if mount["mountPath"] == folder), None)
    volumes = {volume["name"]: volume for volume in pod.pod.get("volumes", ())}
    sources = volumes.get((mounted or {}).get("name", ""), {}).get("projected", {}).get("sources", ())
    policies = [source["configMap"] for source in sources if "configMap" in source]
    if not policies or any(policy.get("optional") for policy in policies):
        yield Finding(
            pod.title, where, f"{folder} must have a ConfigMap that is not optional: without one no pod starts"
        )
    if any(not source["secret"].get("optional") for source in sources if "secret" in source):
        yield Finding(pod.title, where, f"{folder}: the Secret with keys must be optional: a new cluster has none")
    for policy in policies:
        found = objects.find("ConfigMap", policy["name"])
        if found is not None:
            yield from _policy(title(found), found.get("data", {}))


def _policy(name: str, data: Mapping[str, str]) -> Iterator[Finding]:
    with tempfile.TemporaryDirectory() as scratch:
        for file, text in data.items():
            (Path(scratch) / file).write_text(text)
        try:
            declared = read(Path(scratch))
        except WinnowError as error:
            yield Finding(name, "data", str(error).replace(f"{scratch}/", ""))
            return
    if declared.keys:
        yield Finding(name, "data", "has keys: they belong into the Secret, which fewer people may read")
