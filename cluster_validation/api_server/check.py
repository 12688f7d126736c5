"""What a real API server refuses of the manifests: by schema, CEL rules, quantities and pod security."""

from collections.abc import Iterator, Mapping

from cluster_validation.api_server.server import ApiServer, Refused
from cluster_validation.manifests.objects import Finding, Object, Objects
from cluster_validation.manifests.workloads import Workload, workloads


def check(server: ApiServer, rendered: Mapping[str, Objects]) -> Iterator[Finding]:
    """Dry-run the overlays, and the pods that controllers would make of them.

    Args:
        server: a running API server with the custom kinds installed.
        rendered: objects by name of the overlay.
    """
    for overlay, objects in rendered.items():
        pods = [_pod(workload) for workload in workloads(objects)]
        try:
            server.apply(objects.of("Namespace"))
            server.dry_run([*objects.all, *pods])
        except Refused as refused:
            yield Finding(overlay, "", str(refused))


def _pod(workload: Workload) -> Object:
    """The pod that a workload's controller makes: a restricted namespace refuses pods, not their controllers."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": workload.name, "namespace": workload.owner["metadata"]["namespace"]},
        "spec": workload.pod,
    }
