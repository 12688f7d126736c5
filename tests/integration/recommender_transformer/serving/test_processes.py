"""Several transformer processes on the same ports: all answer, each has its metrics, and they end together."""

import http.client
import json
import random
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from tritonclient.grpc import service_pb2 as pb

from tests.support.until import until
from winnow.local.processes import http_ok
from winnow.release import Release

COUNT = 2
ANSWERED = 'winnow_request_seconds_count{degraded="yes"}'


@pytest.fixture
def transformers(published: Release, redis_url: str, tmp_path: Path) -> Callable[..., Any]:
    """Two processes without a Triton, whose answers are therefore degraded."""

    @contextmanager
    def run(drain_s: int = 0) -> Iterator[tuple["subprocess.Popen[bytes]", tuple[int, int], list[int]]]:
        http_port, grpc_port, *metrics = free_ports(2 + COUNT)
        ports = http_port, grpc_port
        command = [
            *(sys.executable, "-m", "recommender_transformer.processes", str(COUNT), f"--metrics-port={metrics[0]}"),
            *(f"--release-dir={published.folder}", f"--redis-url={redis_url}", "--predictor_host=127.0.0.1:1"),
            *("--host=127.0.0.1", f"--http_port={http_port}", f"--grpc_port={grpc_port}", f"--drain-seconds={drain_s}"),
        ]
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            until(lambda: process.poll() is not None or listening(process.pid, http_port) == COUNT, 120)
            assert process.poll() is None, (tmp_path / "log").read_text()
            yield process, ports, metrics
        finally:
            process.terminate()
            process.wait(timeout=60)

    return run


def free_ports(count: int) -> range:
    """Consecutive ports below those that the kernel gives to outgoing connections, until the processes bind them."""
    while True:
        ports = range(first := random.randint(20_000, 30_000), first + count)
        with suppress(OSError), ExitStack() as sockets:
            for port in ports:
                sockets.enter_context(closing(socket.create_server(("127.0.0.1", port))))
            return ports


def listening(pid: int, port: int) -> int:
    """How many children of a process listen on a port."""
    children = psutil.Process(pid).children()
    return sum(
        any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in child.connections("inet"))
        for child in children
    )


def answered(port: int) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        lines = response.read().decode().splitlines()
    return next(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(ANSWERED))


def over_http(ports: tuple[int, int]) -> str | None:
    """The header ``Connection`` of a recommendation's response."""
    with closing(http.client.HTTPConnection("127.0.0.1", ports[0], timeout=30)) as connection:
        body = json.dumps({"instances": [{"user_id": "user-3"}]})
        connection.request("POST", "/v1/models/recommender:predict", body)
        response = connection.getresponse()
        assert response.status == 200
        return response.getheader("connection")


def ask(ports: tuple[int, int]) -> None:
    """One recommendation over HTTP and one over gRPC, each on a connection of its own."""
    over_http(ports)
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(f"127.0.0.1:{ports[1]}", options) as channel:
        call = pb.ModelInferRequest(model_name="recommender")
        call.inputs.add(name="user_id", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"user-3")
        infer = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=pb.ModelInferResponse.FromString,
        )
        assert infer(call, timeout=30).outputs


def test_all_processes_answer_and_end_with_a_signal(transformers: Callable[..., Any]) -> None:
    with transformers() as (process, ports, metrics):
        before, asked = sum(map(answered, metrics)), 0
        alone = [answered(port) for port in metrics]

        def both_have_answered() -> bool:
            nonlocal asked
            ask(ports)
            asked += 2
            return all(answered(port) > count for port, count in zip(metrics, alone, strict=True))

        until(both_have_answered, 60)
        until(lambda: sum(map(answered, metrics)) == before + asked)
        # Whose metrics these were would be chance.
        assert not http_ok(ports[0], "/metrics")
        children = psutil.Process(process.pid).children()
        process.terminate()
        assert process.wait(timeout=60) == 0
    assert not any(child.is_running() for child in children)


def test_a_signal_drains_all_and_a_second_ends_the_drain(transformers: Callable[..., Any]) -> None:
    with transformers(drain_s=300) as (process, ports, _):
        process.terminate()
        until(lambda: over_http(ports) == "close")
        # Long enough for a signal that would follow the first by mistake.
        time.sleep(1)
        assert over_http(ports) == "close"
        process.terminate()
        assert process.wait(timeout=60) == 0


def test_the_end_of_one_process_ends_all(transformers: Callable[..., Any]) -> None:
    with transformers() as (process, _, _):
        first, second = psutil.Process(process.pid).children()
        first.kill()
        assert process.wait(timeout=60) == 1
    assert not second.is_running()
