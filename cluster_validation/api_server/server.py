"""A local Kubernetes API server: what it refuses, a cluster refuses.

etcd and the API server are the real programs (`make apiserver` builds them), without nodes and controllers: the server
validates an object by schema, CEL rules and pod security, and stores it.
"""

import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from cluster_validation.manifests.objects import TOOLS, Object, ToolMissing, outside
from cluster_validation.schemas.crds import CRDS, resource_names
from winnow.local.processes import Process, http_ok
from winnow.ports import Ports

_MESSAGE_LENGTH = 4_000
"""Characters kept of kubectl's error, which may include a whole object."""

_START_S = 120.0
_KUBECTL_S = 60.0
_WAIT = "--timeout=30s"


class Refused(Exception):
    """The API server refused an object; the message is the server's."""


@dataclass(frozen=True)
class ApiServer:
    """A running API server.

    Attributes:
        kubeconfig: file that gives kubectl and controllers an administrator's rights.
    """

    kubeconfig: Path

    def kubectl(self, *arguments: str, objects: Iterable[Object] = ()) -> str:
        """Run kubectl with some objects as its input; returns its output.

        Raises:
            Refused: kubectl failed.
        """
        command = ["kubectl", "--kubeconfig", str(self.kubeconfig), *arguments]
        content = yaml.safe_dump_all(objects)
        done = subprocess.run(command, input=content, capture_output=True, text=True, timeout=_KUBECTL_S)  # noqa: S603
        if done.returncode:
            raise Refused(done.stderr.strip()[:_MESSAGE_LENGTH])
        return done.stdout

    def apply(self, objects: Iterable[Object], *flags: str) -> None:
        """Apply objects on the server's side; unknown fields and the server's warnings are errors.

        Raises:
            Refused: the server refused one of them; the others were applied.
        """
        strictly = ("--server-side", "--validate=strict", "--warnings-as-errors")
        self.kubectl("apply", *strictly, *flags, "-f", "-", objects=objects)

    def dry_run(self, objects: Iterable[Object]) -> None:
        """Validate objects as :meth:`apply` does, without storing them.

        Raises:
            Refused: the server refuses one of them.
        """
        self.apply(objects, "--dry-run=server")


@contextmanager
def api_server() -> Iterator[ApiServer]:
    """Run an API server with the vendored custom kinds installed; its objects are deleted when it stops.

    Raises:
        ToolMissing: etcd, the API server or kubectl is not installed.
        ProcessFailed: etcd or the API server does not start.
    """
    missing = [name for name in ("etcd", "kube-apiserver") if not (TOOLS / name).exists()]
    if missing:
        raise ToolMissing(f"{' and '.join(missing)} are not in .tools: `make apiserver` builds them with Go")
    if not shutil.which("kubectl"):
        raise ToolMissing("kubectl is not on the PATH")
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
            # This plugin waits for a token that a controller creates.
            "--disable-admission-plugins=ServiceAccount",
        ]
        exits.enter_context(
            Process("kube-apiserver", apiserver, log=folder / "log", ready=lambda: _ready(server), timeout=_START_S)
        )
        server.kubectl("apply", "--server-side", "-f", str(CRDS))
        # kubectl cannot wait for a condition before the server has written the list of conditions.
        server.kubectl("wait", "--for=jsonpath={.status.conditions}", "crd", *resource_names(), _WAIT)
        server.kubectl("wait", "--for=condition=Established", "crd", *resource_names(), _WAIT)
        namespaces = [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n}} for n in outside()["namespaces"]
        ]
        server.apply(namespaces)
        yield server


def _ready(server: ApiServer) -> bool:
    try:
        return server.kubectl("get", "--raw", "/readyz") == "ok"
    except Refused:
        return False


def _key() -> bytes:
    """A private key for signing service accounts' tokens, which the API server requires."""
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
                "current-context": "local",
                "contexts": [{"name": "local", "context": {"cluster": "local", "user": "admin"}}],
                "clusters": [{"name": "local", "cluster": cluster}],
                "users": [{"name": "admin", "user": {"token": token}}],
            }
        )
    )
    return file
