"""The transformer's pod of a chain as a plain Pod, which ``podman play kube`` runs on this machine.

Users, capabilities, read-only roots, limits, volumes and commands stay as rendered. The release comes from a folder
instead of S3; image, Redis and Triton are local; the pod uses the host's network; and the caller does the probing.
"""

import copy
from pathlib import Path
from typing import Any

from cluster_validation.manifests.objects import Objects
from cluster_validation.manifests.workloads import workloads


def transformer_pod(objects: Objects, chain: str, release: Path, redis_url: str, triton: str) -> dict[str, Any]:
    """The Pod manifest.

    Args:
        objects: a rendered overlay.
        chain: name of the InferenceService.
        release: the release's folder.
        redis_url: URL of Redis.
        triton: ``host:port`` of Triton's gRPC.
    """
    workload = next(each for each in workloads(objects) if each.name == f"{chain}-transformer")
    pod = copy.deepcopy(workload.pod)
    del pod["initContainers"]
    for volume in pod["volumes"]:
        if volume["name"] == "release":
            del volume["emptyDir"]
            volume["hostPath"] = {"path": str(release), "type": "Directory"}
    for container in pod["containers"]:
        container["env"] = [{"name": "REDIS_URL", "value": redis_url}]
        container["image"] = f"localhost/winnow/{container['image'].rpartition('winnow/')[2]}"
        container["imagePullPolicy"] = "Never"
        args = container["args"]
        if "--predictor_host" in args:
            args[args.index("--predictor_host") + 1] = triton
        # The host's network needs no port mapping, and podman runs probes with curl from a systemd timer.
        for field in ("ports", "startupProbe", "readinessProbe", "livenessProbe", "lifecycle"):
            container.pop(field, None)
    kept = ("containers", "volumes", "securityContext", "terminationGracePeriodSeconds")
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": workload.name, "labels": dict(workload.labels)},
        "spec": {key: pod[key] for key in kept} | {"hostNetwork": True, "restartPolicy": "Always"},
    }
