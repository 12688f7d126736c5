"""A Kubernetes API server of one's own: what it refuses, a cluster would refuse.

etcd, the API server and kube-state-metrics are the real ones (`make apiserver` builds them), with nothing behind them:
no node and no controller. So an object is taken or refused, by schema, CEL rules and pod security alike, and then
nothing becomes of it.
"""

import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from validation.objects import TOOLS, Finding, Object, Objects, ToolMissing, outside
from validation.schemas import CRDS
from validation.workloads import Workload, workloads
from winnow.local.processes import Process, http_ok
from winnow.ports import Ports

_SAID = 4_000
"""Characters kept of what is said; kubectl may add an object to it."""

_START_S = 120.0
_ANSWER_S = 60.0
_WAIT = "--timeout=30s"


class Refused(Exception):
    """The API server does not take something; the message is its own."""


@dataclass(frozen=True)
class ApiServer:
    """A running one.

    Attributes:
        kubeconfig: with which kubectl and everybody else may do all.
    """

    kubeconfig: Path

    def kubectl(self, *arguments: str, objects: Iterable[Object] = ()) -> str:
        """Run kubectl, with some objects as its input; returns what it says.

        Raises:
            Refused: it failed.
        """
        command = ["kubectl", "--kubeconfig", str(self.kubeconfig), *arguments]
        content = yaml.safe_dump_all(objects)
        done = subprocess.run(command, input=content, capture_output=True, text=True, timeout=_ANSWER_S)  # noqa: S603
        if done.returncode:
            raise Refused(done.stderr.strip()[:_SAID])
        return done.stdout

    def apply(self, objects: Iterable[Object], *flags: str) -> None:
        """Apply on the server's side; an unknown field is an error, and so is whatever the server warns of.

        Raises:
            Refused: one of them was; the others were applied.
        """
        strictly = ("--server-side", "--validate=strict", "--warnings-as-errors")
        self.kubectl("apply", *strictly, *flags, "-f", "-", objects=objects)

    def try_out(self, objects: Iterable[Object]) -> None:
        """:meth:`apply` without doing it.

        Raises:
            Refused: one of them would be.
        """
        self.apply(objects, "--dry-run=server")


def check(server: ApiServer, rendered: Mapping[str, Objects]) -> Iterator[Finding]:
    """What a cluster that has the add-ons would refuse of some overlays, and of the pods that they stand for."""
    for overlay, objects in rendered.items():
        try:
            server.apply(objects.of("Namespace"))
            server.try_out(objects.all)
            server.try_out(_pod(workload) for workload in workloads(objects))
        except Refused as refused:
            yield Finding(overlay, "", str(refused))


def _pod(workload: Workload) -> Object:
    """A workload's pod as its controller would make it; in a restricted namespace it is the pod that is refused."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": workload.name, "namespace": workload.owner["metadata"]["namespace"]},
        "spec": workload.pod,
    }


@contextmanager
def api_server() -> Iterator[ApiServer]:
    """Run one that knows the custom kinds of `../shared/crds`; it is gone afterwards with all it stored.

    Raises:
        ToolMissing: its programs, kubectl or the custom kinds' schemas are not here.
        ProcessFailed: it does not start.
    """
    missing = [name for name in ("etcd", "kube-apiserver") if not (TOOLS / name).exists()]
    if missing:
        raise ToolMissing(f"{' and '.join(missing)}: `make apiserver` builds them where Go is")
    if not shutil.which("kubectl"):
        raise ToolMissing("kubectl is not on the PATH")
    if not CRDS.is_dir():
        raise ToolMissing(f"{CRDS} is not here, so the custom kinds are not known")
    ports = Ports.free()
    with tempfile.TemporaryDirectory(prefix="winnow-apiserver-") as name, ExitStack() as exits:
        folder = Path(name)
        token = secrets.token_hex()
        (folder / "tokens.csv").write_text(f"{token},admin,1,system:masters\n")
        (folder / "key.pem").write_bytes(_key())
        server = ApiServer(_kubeconfig(folder, ports.http, token))
        store = f"http://127.0.0.1:{ports.redis}"
        peers = f"http://127.0.0.1:{ports.sidecar}"
        etcd: list[str | Path] = [
            TOOLS / "etcd",
            f"--data-dir={folder / 'etcd'}",
            f"--listen-client-urls={store}",
            f"--advertise-client-urls={store}",
            f"--listen-peer-urls={peers}",
            "--unsafe-no-fsync",
        ]
        exits.enter_context(
            Process("etcd", etcd, log=folder / "etcd.log", ready=lambda: http_ok(ports.redis, "/readyz"))
        )
        apiserver: list[str | Path] = [
            TOOLS / "kube-apiserver",
            f"--etcd-servers={store}",
            f"--secure-port={ports.http}",
            "--bind-address=127.0.0.1",
            f"--cert-dir={folder}",
            f"--token-auth-file={folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={folder / 'key.pem'}",
            f"--service-account-signing-key-file={folder / 'key.pem'}",
            "--service-cluster-ip-range=10.96.0.0/16",
            # It would wait for a token that a controller makes.
            "--disable-admission-plugins=ServiceAccount",
        ]
        exits.enter_context(
            Process("kube-apiserver", apiserver, log=folder / "log", ready=lambda: _ready(server), timeout=_START_S)
        )
        server.kubectl("apply", "--server-side", "-f", str(CRDS))
        kinds = [str(file.relative_to(CRDS).with_suffix("")) for file in CRDS.glob("*.yaml")]
        names = [f"{plural}.{group}" for group, _, plural in (kind.partition("_") for kind in kinds)]
        # First of all there has to be something to wait for.
        server.kubectl("wait", "--for=jsonpath={.status.conditions}", "crd", *names, _WAIT)
        server.kubectl("wait", "--for=condition=Established", "crd", *names, _WAIT)
        namespaces = [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n}} for n in outside()["namespaces"]
        ]
        server.apply(namespaces)
        yield server


@contextmanager
def kube_state_metrics(server: ApiServer) -> Iterator[int]:
    """Run it on what the API server holds; the port of its metrics.

    Raises:
        ToolMissing: it is not here.
        ProcessFailed: it does not start.
    """
    if not (TOOLS / "kube-state-metrics").exists():
        raise ToolMissing("kube-state-metrics: `make apiserver` builds it where Go is")
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


def _ready(server: ApiServer) -> bool:
    try:
        return server.kubectl("get", "--raw", "/readyz") == "ok"
    except Refused:
        return False


def _key() -> bytes:
    """With which service accounts' tokens would be signed."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def _kubeconfig(folder: Path, port: int, token: str) -> Path:
    cluster = {"server": f"https://127.0.0.1:{port}", "insecure-skip-tls-verify": True}
    file = folder / "kubeconfig"
    file.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "here",
                "contexts": [{"name": "here", "context": {"cluster": "here", "user": "admin"}}],
                "clusters": [{"name": "here", "cluster": cluster}],
                "users": [{"name": "admin", "user": {"token": token}}],
            }
        )
    )
    return file
