"""The supervised stack: real Redis, Triton and publication of a tiny release.

Stubs replace the sidecar and the transformer; they only report that they are ready. These tests show
how parts are started, watched and stopped; ``tests/e2e`` runs the whole stack.
"""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from redis import Redis

from tests.support.lifecycle.stub_stack import COMMON, SERVICE, eventually, listening, pid_of
from winnow import release as releases
from winnow.errors import WinnowError
from winnow.local import redis as local_redis
from winnow.local.background import detach, down
from winnow.local.infrastructure import infrastructure
from winnow.local.processes import ProcessFailed, http_ok
from winnow.local.stack import Stack
from winnow.local.stack_state import running
from winnow.ports import PortInUse, Ports
from winnow.store.shared_state import state_of


def test_a_stack_starts_in_order_and_stops_when_a_part_dies(home):
    ports = Ports.free()
    with pytest.raises(ProcessFailed, match=r"bloom sidecar stopped by itself \(signal SIGKILL\)"):  # noqa: PT012, SIM117
        with Stack(1, ports, show_progress=False) as stack:
            state = running()
            assert (state.pid, state.release, state.ports, state.ready) == (os.getpid(), 1, ports, True)
            assert http_ok(ports.triton_http, "/v2/models/ranker/versions/1/ready")
            with Redis(port=ports.redis) as redis:
                assert redis.get("r1:manifest").decode() == releases.Release.open(home / "releases" / "1").digest
            logs = [home / "run" / "logs" / f"{name}.log" for name in ("redis", "triton", "bloom_sidecar")]
            assert all(path.stat().st_size for path in logs)
            assert (
                f"'predictor_host': '127.0.0.1:{ports.triton_grpc}'"
                in (home / "run" / "logs" / "recommender_transformer.log").read_text()
            )
            os.kill(pid_of(home, "bloom_sidecar"), signal.SIGKILL)
            stack.wait()
    assert listening(ports) == []
    assert running() is None


def test_a_detached_stack_runs_until_down(home):
    ports = Ports.free()
    state = detach(1, ports, show_progress=False)
    assert state == running()
    assert len(listening(ports)) == 6  # no gRPC: the stub has none
    with pytest.raises(WinnowError, match="a stack runs already"):
        detach(1, Ports.free(), show_progress=False)
    assert down() == state
    assert listening(ports) == []
    assert down() is None
    # Redis has its data again, without publishing.
    server = local_redis.server(home / "redis", ports.redis, home / "redis.log")
    with server, Redis(port=ports.redis) as redis:
        assert redis.llen(state_of(releases.Release.open(home / "releases" / "1")).history("u1")) == 1


def test_an_embedded_predictor_takes_tritons_place(home, monkeypatch, tmp_path):
    """The transformer gets the models' folder; Triton is neither started nor asked."""
    monkeypatch.setenv("TRITON_URL", "127.0.0.1:1")
    (Path(os.environ["PYTHONPATH"]) / "recommender_transformer.py").write_text(
        SERVICE.format(
            flags=[
                *COMMON,
                "--model-repository",
                "--experiments",
                "--access-file",
                "--host",
                "--http_port",
                "--grpc_port",
                "--drain-seconds",
                "--standby-port",
            ],
            paths=["/v2/health/ready", "/v2/models/recommender/ready"],
            port="standby_port",
        )
    )
    ports = Ports.free()
    declared = tmp_path / "declared.yaml"
    declared.write_text("experiments: []")
    access = tmp_path / "access.yaml"
    detach(1, ports, predictor="embedded", experiments=declared, access=access, show_progress=False)
    try:
        assert set(listening(ports)) == {ports.http, ports.redis, ports.sidecar}
        log = (home / "run" / "logs" / "recommender_transformer.log").read_text()
        assert f"'model_repository': '{home}/model_repository/1'" in log
        # A copy of the experiments, which later changes of the file do not reach.
        assert f"'experiments': '{home}/experiments.yaml'" in log
        assert (home / "experiments.yaml").read_text() == "experiments: []"
        # The file itself, because the transformer reads it again when it changes.
        assert f"'access_file': '{access}'" in log
    finally:
        down()
    assert listening(ports) == []
    (home / "model_repository" / "1" / "ranker" / "1" / "model.onnx").unlink()
    with pytest.raises(WinnowError, match=r"model_repository/1 has no ranker/1/model\.onnx: the release is incomplete"):
        Stack(1, Ports.free(), predictor="embedded", show_progress=False).__enter__()


def test_nothing_survives_when_the_supervisor_is_killed(home):
    ports = Ports.free()
    state = detach(1, ports, show_progress=False)
    os.kill(state.pid, signal.SIGKILL)
    assert eventually(lambda: listening(ports) == [])
    assert running() is None
    os.waitpid(state.pid, 0)


def test_ctrl_c_stops_everything_and_is_no_error(home):
    ports = Ports.free()
    command = [
        sys.executable,
        "-m",
        "winnow.local",
        "127.0.0.1",
        "triton",
        "0.0",
        "",
        "",
        "explorer",
        "1",
        *map(str, ports.numbers()),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as child:
        assert eventually(lambda: (state := running()) is not None and state.ready, seconds=60.0)
        assert http_ok(ports.explorer, "/static/explorer.css")
        child.send_signal(signal.SIGINT)
        child.send_signal(signal.SIGINT)
        assert child.wait(30.0) == 0
    assert listening(ports) == []


def test_a_stack_that_cannot_start_says_why_and_leaves_nothing(home):
    ports = Ports.free()
    with pytest.raises(WinnowError, match=r"no release at .*/releases/7: build one with `winnow build`"):
        Stack(7, ports, show_progress=False).__enter__()
    with (
        socket.create_server(("127.0.0.1", ports.sidecar)),
        pytest.raises(PortInUse, match=rf"{ports.sidecar} \(sidecar"),
    ):
        Stack(1, ports, show_progress=False).__enter__()
    (Path(os.environ["PYTHONPATH"]) / "bloom_sidecar.py").write_text("raise SystemExit('no such thing')")
    with pytest.raises(ProcessFailed, match=r"(?s)bloom sidecar stopped by itself \(exit code 1\).*no such thing"):
        Stack(1, ports, show_progress=False).__enter__()
    assert listening(ports) == []
    assert running() is None


def test_a_stack_is_ready_after_its_first_complete_answer(home, monkeypatch):
    log = home / "run" / "logs" / "recommender_transformer.log"
    with Stack(1, Ports.free(), show_progress=False):
        [asked] = [line for line in log.read_text().splitlines() if line.startswith("/v1/models/recommender:predict")]
    assert "winnow-up" in asked
    assert "'user_id': 'u1'" in asked  # a user with a history, for whom every model is called
    monkeypatch.setenv("DEGRADED", "retriever:UNAVAILABLE ranker:UNAVAILABLE")
    monkeypatch.setattr("winnow.local.chain.FIRST_ANSWER_SECONDS", 1.0)
    ports = Ports.free()
    with pytest.raises(WinnowError) as caught:
        Stack(1, ports, show_progress=False).__enter__()
    message = str(caught.value)
    assert "(retriever:UNAVAILABLE; ranker:UNAVAILABLE)" in message
    assert str(log) in message
    assert "TRITON_URL" in message
    assert "\n" not in message
    assert log.read_text().count("/v1/models/recommender:predict") > 1
    assert listening(ports) == []
    assert running() is None


def test_http_and_grpc_listen_on_the_given_host_and_all_else_on_loopback(home):
    ports = Ports.free()
    with Stack(1, ports, host="127.0.0.2", show_progress=False):
        state = running()
        assert (state.host, state.reached) == ("127.0.0.2", "127.0.0.2")
        logs = home / "run" / "logs"
        assert "'host': '127.0.0.2'" in (logs / "recommender_transformer.log").read_text()
        assert "'health_host': '127.0.0.1'" in (logs / "bloom_sidecar.log").read_text()
    # Free on loopback, but not on the address to bind.
    with (
        socket.create_server(("127.0.0.2", ports.grpc)),
        pytest.raises(PortInUse, match=rf"{ports.grpc} \(grpc"),
    ):
        Stack(1, ports, host="127.0.0.2", show_progress=False).__enter__()


def test_a_home_whose_releases_share_a_repository_is_refused_in_one_sentence(home):
    repository = home / "model_repository"
    (repository / "1").rename(home / "old")
    repository.rmdir()
    (home / "old").rename(repository)
    with pytest.raises(WinnowError, match=r"model_repository/1 has no .*build it again with `winnow build`"):
        Stack(1, Ports.free(), show_progress=False).__enter__()
    assert running() is None


def test_redis_url_and_triton_url_replace_the_stacks_own(home, monkeypatch):
    with infrastructure(home / "model_repository" / "1", {"ranker": [1], "retriever": [1]}) as others:
        monkeypatch.setenv("REDIS_URL", others.redis_url)
        monkeypatch.setenv("TRITON_URL", others.triton)
        ports = Ports.free()
        with Stack(1, ports, show_progress=False):
            assert set(listening(ports)) == {ports.http, ports.sidecar}
            with Redis.from_url(others.redis_url) as redis:
                assert redis.exists("r1:manifest")
            logs = [home / "run" / "logs" / f"{name}.log" for name in ("bloom_sidecar", "recommender_transformer")]
            for log in logs:
                message = log.read_text().splitlines()[0]
                pid = message.split()[0]
                assert message.endswith(others.redis_url)
                # Command lines are visible in process lists, and the address may hold a password.
                assert "redis://" not in Path(f"/proc/{pid}/cmdline").read_text()
        monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
        with pytest.raises(WinnowError, match=r"does not answer at redis://127.0.0.1:1/0: .*unset it to start"):
            Stack(1, ports, show_progress=False).__enter__()
