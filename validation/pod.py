"""The transformer's pod of a chain as a plain Pod that ``podman play kube`` can run on this machine.

Users, capabilities, read-only roots, limits, volumes, commands: all as rendered. What differs is what a machine has no
other way to give: the release comes from a folder instead of S3, the image, Redis and Triton are those of this machine,
the pod shares its network, and whoever starts it asks what the probes would.
"""

import copy
from pathlib import Path
from typing import Any

from validation.objects import Objects
from validation.workloads import workloads


def transformer_pod(objects: Objects, chain: str, release: Path, redis_url: str, triton: str) -> dict[str, Any]:
    """A Pod manifest.

    Args:
        objects: a rendered overlay.
        chain: name of the InferenceService.
        release: the release's folder.
        redis_url: where Redis is.
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
        # In the network of the machine a port is open as it is; and podman would probe with curl, from a systemd timer.
        for field in ("ports", "startupProbe", "readinessProbe", "livenessProbe", "lifecycle"):
            container.pop(field, None)
    known = ("containers", "volumes", "securityContext", "terminationGracePeriodSeconds")
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": workload.name, "labels": dict(workload.labels)},
        "spec": {key: pod[key] for key in known} | {"hostNetwork": True, "restartPolicy": "Always"},
    }
