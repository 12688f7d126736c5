"""The serving extra is enough to serve: no torch, no training library."""

import json
import subprocess
import sys
from pathlib import Path

import httpx

from tests.support.paths import ROOT
from winnow.local.processes import Process, http_ok
from winnow.ports import Ports


def test_the_transformer_runs_in_an_environment_without_torch(served, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    uv = ROOT / ".tools" / "uv" / "bin" / "uv"
    install = [uv, "pip", "install", "--quiet", "--python", environment / "bin" / "python"]
    subprocess.run([*install, "--constraint", ROOT / "constraints.txt", f"{ROOT}[serving]"], check=True)
    listed = subprocess.run(
        [uv, "pip", "list", "--python", environment / "bin" / "python", "--format=json"],
        check=True,
        capture_output=True,
    )
    installed = {package["name"] for package in json.loads(listed.stdout)}
    assert "kserve" in installed
    trainings = {"torch", "torchvision", "open-clip-torch", "onnxruntime", "ibis-framework", "kfp", "pyspark"}
    assert not installed & trainings

    ports = Ports.free()
    release = served.winnow.home / "releases" / "1"
    command = [environment / "bin" / "python", "-P", "-m", "recommender_transformer"]
    command += [f"--release-dir={release}", f"--redis-url=redis://127.0.0.1:{served.ports.redis}/0"]
    command += [f"--predictor_host=127.0.0.1:{served.ports.triton_grpc}", "--predictor_protocol=grpc-v2"]
    command += [f"--http_port={ports.http}", f"--grpc_port={ports.grpc}"]
    ready = lambda: http_ok(ports.http, "/v2/models/recommender/ready")  # noqa: E731
    with Process("transformer", command, log=tmp_path / "log", ready=ready):
        body = {"instances": [{"user_id": "someone", "k": 3}]}
        url = f"http://127.0.0.1:{ports.http}/v1/models/recommender:predict"
        with httpx.Client(trust_env=False) as http:
            [answer] = http.post(url, json=body, timeout=30).json()["predictions"]
    assert len(answer["items"]) == 3
    assert answer["degraded"] == []
