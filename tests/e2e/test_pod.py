"""The transformer's pod of the manifests, built from the Dockerfile and run by podman."""

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import pytest
import yaml

from cluster_validation.manifests.objects import render
from cluster_validation.manifests.pod import transformer_pod
from winnow.local.infrastructure import infrastructure
from winnow.store.publish import publish

CHAIN = "recommender"
PODMAN = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
"""Settings that let podman run without systemd and without raised limits."""

IMAGE = "localhost/winnow/serving:0.2.0"
PORTS = (8080, 8081, 8090)


@dataclass(frozen=True)
class Pod:
    """The running pod."""

    podman: Callable[..., str]
    http: httpx.Client

    def asked(self) -> tuple[int, int]:
        """Status of a recommendation, and of the sidecar's readiness; 0 without an answer."""
        return self._status(self.recommend), self._status(lambda: self.http.get("http://127.0.0.1:8090/ready"))

    def recommend(self) -> httpx.Response:
        body = {"instances": [{"user_id": "u00001", "k": 3}]}
        return self.http.post("http://127.0.0.1:8080/v1/models/recommender:predict", json=body)

    def wait(self, wanted: tuple[int, int]) -> list[tuple[int, int]]:
        """The statuses seen until they are the expected ones."""
        answered = []
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            answered.append(self.asked())
            if answered[-1] == wanted:
                return answered
            time.sleep(0.25)
        raise AssertionError(f"never {wanted}: {answered[-3:]}")

    def kill(self, container: str) -> None:
        """End a container's process like a crash; after `podman kill`, a requested stop, it would not restart."""
        found = self.podman("inspect", "--format", "{{.State.Pid}}", f"{CHAIN}-transformer-{container}")
        os.kill(int(found), signal.SIGKILL)

    @staticmethod
    def _status(ask: Callable[[], httpx.Response]) -> int:
        try:
            return ask().status_code
        except httpx.TransportError:
            return 0


@pytest.fixture(scope="module")
def podman(tmp_path_factory) -> Callable[..., str]:
    if not shutil.which("podman") or not shutil.which("runc"):
        pytest.skip("podman and runc are not here (Debian: apt-get install podman runc catatonit)")
    settings = tmp_path_factory.mktemp("podman") / "containers.conf"
    settings.write_text(PODMAN)

    def run(*arguments: str) -> str:
        environment = os.environ | {"CONTAINERS_CONF": str(settings)}
        done = subprocess.run(["podman", *arguments], env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    images = json.loads(run("images", "--format", "json"))
    built = {name: each.get("Labels") or {} for each in images for name in each.get("Names") or ()}
    if IMAGE not in built:
        pytest.skip(f"{IMAGE} is not built: make images")
    if built[IMAGE].get("winnow.source") != _source():
        pytest.skip(f"{IMAGE} was built from another source: make images")
    return run


def _source() -> str:
    """The tag that ``images/build`` gives this source."""
    trees = subprocess.run(["git", "rev-parse", "HEAD:winnow", "HEAD:transformers"], capture_output=True, check=True)
    return hashlib.sha256(trees.stdout).hexdigest()[:16]


@pytest.fixture(scope="module")
def pod(winnow, podman, tmp_path_factory) -> Iterator[Pod]:
    for port in PORTS:
        with socket.socket() as listener:
            if listener.connect_ex(("127.0.0.1", port)) == 0:
                pytest.skip(f"port {port}, which the pod opens, is in use here")
    release = winnow.release()
    models = {name: [release.manifest.number] for name in release.manifest.models}
    folder = tmp_path_factory.mktemp("pod")
    with (
        infrastructure(winnow.home / "model_repository" / str(release.manifest.number), models, folder=folder) as parts,
        httpx.Client(trust_env=False, timeout=5.0) as http,
    ):
        publish(release.folder, parts.redis_url, show_progress=False)
        manifest = transformer_pod(render("gpu"), CHAIN, release.folder.resolve(), parts.redis_url, parts.triton)
        (folder / "pod.yaml").write_text(yaml.safe_dump(manifest))
        try:
            podman("play", "kube", str(folder / "pod.yaml"))
            running = Pod(podman, http)
            running.wait((200, 200))
            yield running
        finally:
            podman("pod", "rm", "--force", "--ignore", f"{CHAIN}-transformer")


def test_the_pod_recommends(pod):
    [answer] = pod.recommend().json()["predictions"]
    assert len(answer["items"]) == 3
    assert answer["degraded"] == []


@pytest.mark.parametrize("container", ["kserve-container", "bloom-sidecar"])
def test_a_container_has_least_privileges(pod, container):
    script = """
        id -u
        grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/1/status
        touch /tmp/x && echo writes
        for file in /opt/x /mnt/release/x; do touch $file 2>&1; done
        true
    """
    said = pod.podman("exec", f"{CHAIN}-transformer-{container}", "sh", "-c", script).split("\n")
    assert said[0] == "1000"
    assert [line.split()[1] for line in said[1:4]] == ["0" * 16, "0" * 16, "1"]
    assert said[4] == "writes"
    assert len(said[5:]) == 2
    assert all(line.endswith("Read-only file system") for line in said[5:])


def test_the_transformer_serves_while_a_killed_sidecar_restarts(pod):
    pod.kill("bloom-sidecar")
    answered = pod.wait((200, 0)) + pod.wait((200, 200))
    assert {transformer for transformer, _ in answered} == {200}


def test_the_sidecar_works_while_a_killed_transformer_restarts(pod):
    pod.kill("kserve-container")
    answered = pod.wait((0, 200)) + pod.wait((200, 200))
    assert {sidecar for _, sidecar in answered} == {200}
