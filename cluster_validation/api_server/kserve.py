"""KServe's controller on the local API server: it turns InferenceServices into Deployments, Services and ScaledObjects.

Its webhooks are not registered: what they refuse or inject shows only on a cluster.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cluster_validation.api_server.server import ApiServer
from cluster_validation.manifests.objects import TOOLS, ToolMissing
from winnow.local.processes import Process, http_ok
from winnow.ports import Ports

_RESOURCES = {"cpuRequest": "100m", "memoryRequest": "100Mi", "cpuLimit": "1", "memoryLimit": "1Gi"}

_CONFIGURATION: dict[str, dict[str, Any]] = {
    # As in `eks/values/kserve.yaml`.
    "deploy": {"defaultDeploymentMode": "Standard"},
    "ingress": {
        "enableGatewayApi": True,
        "kserveIngressGateway": "kserve/kserve-ingress-gateway",
        "ingressGateway": "kserve/kserve-ingress-gateway",
        "ingressDomain": "example.com",
        "ingressClassName": "none",
        "urlScheme": "http",
    },
    # Defaults of the chart, without which the controller does not start.
    "storageInitializer": {"image": "kserve/storage-initializer", **_RESOURCES},
    "agent": {"image": "kserve/agent", **_RESOURCES},
    "router": {"image": "kserve/router", **_RESOURCES},
    "logger": {},
    "batcher": {},
    "metricsAggregator": {"enableMetricAggregation": "false", "enablePrometheusScraping": "false"},
}


@contextmanager
def kserve(server: ApiServer) -> Iterator[None]:
    """Run KServe's controller.

    Raises:
        ToolMissing: the controller is not installed.
        ProcessFailed: the controller does not start.
    """
    program, kinds = TOOLS / "kserve-manager", TOOLS / "kserve-crds"
    if not program.exists() or not kinds.exists():
        raise ToolMissing("KServe's controller is not in .tools: `make apiserver` builds it with Go")
    server.kubectl("apply", "--server-side", "-f", str(kinds))
    metadata = {"name": "inferenceservice-config", "namespace": "kserve"}
    data = {name: json.dumps(settings) for name, settings in _CONFIGURATION.items()}
    server.apply([{"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}])
    folder = server.kubeconfig.parent
    # The controller always serves its webhooks, with the certificate in this folder: the API server's is valid for it.
    certificate = folder / "k8s-webhook-server" / "serving-certs"
    certificate.mkdir(parents=True)
    shutil.copy(folder / "apiserver.crt", certificate / "tls.crt")
    shutil.copy(folder / "apiserver.key", certificate / "tls.key")
    ports = Ports.free()
    command: list[str | Path] = [
        program,
        f"--kubeconfig={server.kubeconfig}",
        f"--health-probe-addr=127.0.0.1:{ports.http}",
        f"--metrics-addr=127.0.0.1:{ports.grpc}",
        f"--webhook-port={ports.redis}",
    ]
    environment = {**os.environ, "TMPDIR": str(folder), "POD_NAMESPACE": "kserve"}
    process = Process(
        "kserve",
        command,
        log=folder / "kserve.log",
        ready=lambda: http_ok(ports.http, "/readyz"),
        environment=environment,
    )
    with process:
        yield
