"""Pods follow the restricted Pod Security Standard and have read-only roots, resource limits and probes."""

from collections.abc import Iterator, Mapping
from typing import Any

from cluster_validation.manifests.objects import Finding, Objects
from cluster_validation.manifests.workloads import Workload, workloads


def check(objects: Objects) -> Iterator[Finding]:
    """Namespaces, and security contexts, resources and probes of every pod."""
    for namespace in objects.of("Namespace"):
        if namespace["metadata"].get("labels", {}).get("pod-security.kubernetes.io/enforce") != "restricted":
            yield Finding(
                f"Namespace {namespace['metadata']['name']}", "metadata.labels", "does not enforce restricted pods"
            )
    for pod in workloads(objects):
        yield from _pod(pod)
        for container in pod.every_container:
            for message in _container(pod.pod, container):
                yield Finding(pod.title, f"container {container.get('name')}", message)
        if pod.owner["kind"] not in ("Job", "CronJob"):
            for container in pod.containers:
                if "livenessProbe" not in container:
                    yield Finding(pod.title, f"container {container.get('name')}", "has no livenessProbe")
            if not any("readinessProbe" in container for container in pod.containers):
                yield Finding(pod.title, "", "no container has a readinessProbe")


def _pod(pod: Workload) -> Iterator[Finding]:
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.pod.get(field):
            yield Finding(pod.title, f"{pod.where}.{field}", "shares a namespace of the node")
    if pod.pod.get("automountServiceAccountToken") is not False:
        yield Finding(
            pod.title,
            f"{pod.where}.automountServiceAccountToken",
            "must be false: no pod calls the Kubernetes API",
        )
    for volume in pod.pod.get("volumes", ()):
        if "hostPath" in volume:
            yield Finding(pod.title, f"volume {volume['name']}", "a hostPath mounts the node's file system")
        if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
            yield Finding(
                pod.title, f"volume {volume['name']}", "emptyDir has no sizeLimit and can fill the node's disk"
            )


def _container(pod: Mapping[str, Any], container: Mapping[str, Any]) -> Iterator[str]:
    inherited, own = pod.get("securityContext", {}), container.get("securityContext", {})
    if own.get("runAsNonRoot", inherited.get("runAsNonRoot")) is not True:
        yield "may run as root: runAsNonRoot must be true"
    if own.get("runAsUser", inherited.get("runAsUser")) in (0, None):
        yield "runs as root or as the image's user: runAsUser must be a number above 0"
    if own.get("seccompProfile", inherited.get("seccompProfile", {})).get("type") not in (
        "RuntimeDefault",
        "Localhost",
    ):
        yield "seccompProfile must be RuntimeDefault"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation must be false"
    if own.get("privileged"):
        yield "is privileged"
    if own.get("readOnlyRootFilesystem") is not True:
        yield "readOnlyRootFilesystem must be true"
    capabilities = own.get("capabilities", {})
    if capabilities.get("drop") != ["ALL"] or capabilities.get("add"):
        yield "must drop ALL capabilities and add none"
    resources = container.get("resources", {})
    for kind in ("requests", "limits"):
        for resource in ("cpu", "memory"):
            if resource not in resources.get(kind, {}):
                yield f"resources.{kind} has no {resource}"
    memory = [resources.get(kind, {}).get("memory") for kind in ("requests", "limits")]
    if container in pod.get("containers", ()) and "gpu" in str(resources) and memory[0] != memory[1]:
        yield "requests and limits of memory differ: a GPU's pod must have all the memory that it may use"
