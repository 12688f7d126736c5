"""The transformer as a process of its own, serving a tiny release with the NumPy models."""

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from tritonclient.grpc import service_pb2 as pb

from tests.support.paths import ROOT
from tests.support.tiny_release import write_release
from winnow.release import Release
from winnow.store.publish import publish


class Server:
    """A running transformer and plain HTTP and gRPC calls to it.

    Attributes:
        url: base of its HTTP API.
        ports: of HTTP and of gRPC.
        process: the transformer's.
        channel: to its gRPC port.
        infer: sends a ``ModelInferRequest``.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", http_port: int, grpc_port: int) -> None:
        self.url = f"http://127.0.0.1:{http_port}"
        self.ports = (http_port, grpc_port)
        self.process = process
        self.channel = grpc.insecure_channel(f"127.0.0.1:{grpc_port}")
        self.infer = self.channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=pb.ModelInferResponse.FromString,
        )

    def post(self, path: str, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """Status and JSON body of a POST."""
        request = urllib.request.Request(
            self.url + path, data=body, headers={"Content-Type": "application/json"} | (headers or {}), method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, json.loads(response.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def v1(self, *instances: Any, model: str = "recommender") -> tuple[int, Any]:
        """Status and JSON body of a ``:predict``."""
        return self.post(f"/v1/models/{model}:predict", json.dumps({"instances": instances}).encode())

    def v2(self, *inputs: dict[str, Any], model: str = "recommender", **more: Any) -> tuple[int, Any]:
        """Status and JSON body of an ``infer``."""
        return self.post(f"/v2/models/{model}/infer", json.dumps({"inputs": inputs, **more}).encode())

    def get(self, path: str) -> int:
        """Status of a GET."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code

    def metric(self, sample: str) -> float:
        """A sample of the server's metrics, by its name and labels as written there; 0 where it is missing."""
        with urllib.request.urlopen(self.url + "/metrics", timeout=10) as response:
            lines = response.read().decode().splitlines()
        return next((float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(sample + " ")), 0.0)


@contextmanager
def serving(folder: Path, number: int, redis_url: str, **settings: Any) -> Iterator[Server]:
    """Write, publish and serve a tiny release; ``settings`` are those of :mod:`tests.support.serve_tiny`."""
    release = write_release(folder, number)
    publish(release.folder, redis_url, show_progress=False)
    with serving_published(release, redis_url, folder / "server.log", **settings) as server:
        yield server


@contextmanager
def serving_published(release: Release, redis_url: str, log: Path, **settings: Any) -> Iterator[Server]:
    """Serve a published release and write the server's log to ``log``; SIGTERM must end it with exit code 0."""
    http_port, grpc_port = free_port(), free_port()
    command = [sys.executable, "-m", "tests.support.serve_tiny", str(release.folder), redis_url]
    arguments = [str(http_port), str(grpc_port), json.dumps(settings)]
    with log.open("wb") as file:
        process = subprocess.Popen([*command, *arguments], stdout=file, stderr=file, cwd=ROOT)
    server = Server(process, http_port, grpc_port)
    deadline = time.monotonic() + 120
    try:
        while not _ready(server):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield server
    finally:
        server.channel.close()
        process.terminate()
        code = process.wait(timeout=40)
    assert code == 0, log.read_text()


def free_port() -> int:
    """A port that no process listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _ready(server: Server) -> bool:
    try:
        with urllib.request.urlopen(f"{server.url}/v2/models/recommender/ready", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False
