"""A home whose stack has real Redis, Triton and publication, and stubs for the sidecar and the transformer.

The stubs only report that they are ready, and take and leave the public port.
"""

import socket
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from winnow import release as releases
from winnow.home import onnx_model
from winnow.items.arrays import id_arrays
from winnow.ports import Ports
from winnow.schema import Feature, FeatureSchema

MODELS = ("retriever", "ranker")
SERVICE = """
import argparse, http.server, json, os, signal, threading
parser = argparse.ArgumentParser()
for name in {flags}:
    parser.add_argument(name, required=True)
given = vars(parser.parse_args())
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        listens = self.path == "/listening" and Public is not None
        self.send_response(200 if self.path in {paths} or listens else 404)
        self.end_headers()
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))["instances"]
        print(self.path, self.headers["x-request-id"], asked, flush=True)
        degraded = os.environ.get("DEGRADED", "").split()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({{"predictions": [{{"items": [], "degraded": degraded}}]}}).encode())
print(os.getpid(), given, os.environ["REDIS_URL"], flush=True)
class Server(http.server.ThreadingHTTPServer):
    allow_reuse_port = True
def serve(host, port):
    server = Server((host, port), Ready)
    threading.Thread(target=server.serve_forever).start()
    return server
Public = None
moves = {{signal.SIGUSR1, signal.SIGUSR2}}
signal.pthread_sigmask(signal.SIG_BLOCK, moves)
serve("127.0.0.1", int(given["{port}"]))
while True:
    if signal.sigwait(moves) == signal.SIGUSR1:
        Public = serve(given["host"], int(given["http_port"]))
    else:
        Public.shutdown()
        Public.server_close()
        Public = None
"""
COMMON = ["--release-dir"]
PREDICTOR = ["--predictor_host", "--predictor_protocol"]


def write_models(repository: Path, number: int = 1) -> None:
    """Write a Triton repository with two models that return what they get."""
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B", 1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "same", tensors[:1], tensors[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    for name in MODELS:
        (repository / name / str(number)).mkdir(parents=True)
        onnx.save(model, repository / name / str(number) / "model.onnx")
        (repository / name / "config.pbtxt").write_text(
            f'name: "{name}" backend: "onnxruntime" max_batch_size: 8 version_policy {{ all {{}} }}\n'
            'input [{name: "x" data_type: TYPE_FP32 dims: [1]}] output [{name: "y" data_type: TYPE_FP32 dims: [1]}]\n'
        )


def write_release(folder: Path, number: int = 1) -> None:
    """Write a release of two items and one user, with those models."""
    schema = FeatureSchema(
        item=(Feature(name="category", kind="categorical", cardinality=2),),
        user=(Feature(name="age", kind="numeric"),),
        events=("click",),
        event_values=(1.0,),
        event_windows_ms=(86_400_000,),
        conversions=("click",),
    )
    releases.write(
        folder,
        arrays={
            **id_arrays(["", "i1", "i2"]),
            "user_ids": np.array(["u1"]),
            "item_rows": np.zeros(3, schema.item_dtype),
            "user_rows": np.zeros(1, schema.user_dtype),
            "offsets": np.array([0, 1]),
            "item": np.array([1], np.int32),
            "event": np.array([1], np.int32),
            "grade": np.array([1], np.float32),
            "timestamp": np.array([1_700_000_000_000]),
            "popular": np.array([2, 1], np.int32),
        },
        documents={"schema.json": schema.model_dump_json(), "vocabularies.json": "{}"},
        number=number,
        dataset="tiny",
        source=releases.BuildInputs(),
        holdout="none",
        as_of=1_700_000_000_001,
        history_length=4,
        candidates={"retriever": 2},
        schema_digest=schema.digest,
        models={name: releases.sha256(onnx_model(number, name)) for name in MODELS},
        parity={},
    )


def listening(ports: Ports) -> list[int]:
    """The ports that accept connections."""
    found = []
    for port in ports.numbers():
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                found.append(port)
    return found


def eventually(condition: Callable[[], object], seconds: float = 10.0) -> object:
    """Whether a condition holds before the time is over."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def pid_of(home: Path, service: str) -> int:
    """Id of a stub's process, from its log."""
    return int((home / "run" / "logs" / f"{service}.log").read_text().split()[0])


def stub_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with release 1: two items, one user, two models that return what they get. WINNOW_HOME names it."""
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "bloom_sidecar.py").write_text(
        SERVICE.format(flags=[*COMMON, "--health-host", "--health-port"], paths=["/ready"], port="health_port")
    )
    (packages / "recommender_transformer.py").write_text(
        SERVICE.format(
            flags=[*COMMON, *PREDICTOR, "--host", "--http_port", "--grpc_port", "--drain-seconds", "--standby-port"],
            paths=["/v2/health/ready", "/v2/models/recommender/ready"],
            port="standby_port",
        )
    )
    monkeypatch.setenv("PYTHONPATH", str(packages))
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.delenv("TRITON_URL", raising=False)
    folder = tmp_path / "My Hömé"  # a checkout in a folder of such a name has a home of such a name
    monkeypatch.setenv("WINNOW_HOME", str(folder))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))  # a killed stack leaves its folder there
    write_models(folder / "model_repository" / "1")
    write_release(folder / "releases" / "1")
    return folder
