"""kube-state-metrics on the local API server."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster_validation.api_server.server import ApiServer
from cluster_validation.manifests.objects import TOOLS, ToolMissing
from winnow.local.processes import Process, http_ok
from winnow.ports import Ports


@contextmanager
def kube_state_metrics(server: ApiServer) -> Iterator[int]:
    """Run kube-state-metrics on an API server's objects; yields the port of its metrics.

    Raises:
        ToolMissing: kube-state-metrics is not installed.
        ProcessFailed: it does not start.
    """
    if not (TOOLS / "kube-state-metrics").exists():
        raise ToolMissing("kube-state-metrics is not in .tools: `make apiserver` builds it with Go")
    ports = Ports.free()
    command: list[str | Path] = [
        TOOLS / "kube-state-metrics",
        f"--kubeconfig={server.kubeconfig}",
        "--host=127.0.0.1",
        f"--port={ports.http}",
        "--telemetry-host=127.0.0.1",
        f"--telemetry-port={ports.sidecar}",
        "--resources=horizontalpodautoscalers,pods",
    ]
    log = server.kubeconfig.with_name("kube-state-metrics.log")
    with Process("kube-state-metrics", command, log=log, ready=lambda: http_ok(ports.sidecar, "/readyz")):
        yield ports.http
