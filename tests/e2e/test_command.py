"""The command line: help, errors, and a demo from start to Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
import psutil
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from winnow.errors import WinnowError
from winnow.evaluation import record
from winnow.evaluation.funnel import Funnel
from winnow.items.index import ItemIndex
from winnow.local import chain
from winnow.local.stack import Stack
from winnow.ports import EVERYWHERE, Ports
from winnow.provenance import BuildRecord

COMMANDS = (
    "build",
    "up",
    "down",
    "recommend",
    "objectives",
    "lists",
    "items add",
    "items set",
    "items show",
    "evaluate",
    "report",
    "skew",
    "demo",
)
HERE = Path(__file__).parent


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    printed = subprocess.run(
        [Path(sys.executable).with_name("winnow"), *command.split(), "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "Usage: winnow" in printed
    assert len(printed.splitlines()) > 5


def test_demo_once_shows_three_users_over_three_protocols(winnow, free_ports: int) -> None:
    shown = winnow("demo", "--once", "--items=300", "--users=200", "--events=8000", f"--port-base={free_ports}")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.count("the same list over all") == 3
    assert shown.stdout.count("candidates ") == 3
    assert "someone-new" in shown.stdout
    assert "a query by text" in shown.stdout
    assert "a query by image" in shown.stdout
    # The demo used the existing release.
    assert [path.name for path in (winnow.home / "releases").iterdir()] == ["1"]


@contextmanager
def up(winnow, *options: str) -> Iterator[list[psutil.Process]]:
    """The processes of a stack in the foreground, ended by Ctrl-C."""
    command = [Path(sys.executable).with_name("winnow"), "up", *options]
    # A session of its own stands in for a terminal, whose Ctrl-C reaches the foreground process group.
    with subprocess.Popen(
        command, env=winnow.environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as parent:
        assert parent.stdout is not None
        assert "Ctrl-C stops it" in parent.stdout.readline()
        try:
            yield [psutil.Process(parent.pid), *psutil.Process(parent.pid).children(recursive=True)]
        finally:
            os.kill(parent.pid, signal.SIGINT)
            assert parent.wait(timeout=60) in (0, 130)


def listening(processes: list[psutil.Process]) -> set[tuple[str, int]]:
    """The addresses and ports that processes listen on; gRPC's sockets are IPv6."""
    return {
        (EVERYWHERE if socket.laddr.ip == "::" else socket.laddr.ip.removeprefix("::ffff:"), socket.laddr.port)
        for process in processes
        for socket in process.connections("inet")
        if socket.status == psutil.CONN_LISTEN
    }


def public(processes: list[psutil.Process], used: Collection[int]) -> set[tuple[str, int]]:
    """The same without the transformer's standby port, which is any free one on loopback."""
    found = listening(processes)
    standby = [address for address, port in found if port not in used]
    assert standby == ["127.0.0.1"]
    return {(address, port) for address, port in found if port in used}


def test_ctrl_c_leaves_nothing_running(winnow, free_ports: int) -> None:
    with up(winnow, f"--port-base={free_ports}") as processes:
        assert len(processes) >= 5
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert alive == []


def test_an_embedded_predictor_needs_no_triton_and_leaves_nothing_running(winnow, free_ports: int) -> None:
    ports = Ports.at(free_ports)
    with up(winnow, f"--port-base={free_ports}", "--predictor=embedded") as processes:
        used = (ports.http, ports.grpc, ports.redis, ports.sidecar, ports.explorer)
        assert public(processes, used) == {("127.0.0.1", port) for port in used}
        asked = winnow("recommend", "someone-new", "--text", "a red lamp", "--json")
        assert asked.returncode == 0, asked.stderr
        assert json.loads(asked.stdout)["degraded"] == []
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert alive == []


def test_a_stack_listens_on_loopback_and_with_host_its_http_and_grpc_on_more(winnow, free_ports: int) -> None:
    ports = Ports.at(free_ports)
    used = set(ports.numbers()) - {ports.milvus}  # this release's items are in Triton
    with up(winnow, f"--port-base={free_ports}") as processes:
        assert public(processes, used) == {("127.0.0.1", port) for port in used}
    with up(winnow, f"--port-base={free_ports}", f"--host={EVERYWHERE}") as processes:
        more = (ports.http, ports.grpc)
        expected = {(EVERYWHERE if port in more else "127.0.0.1", port) for port in used}
        assert public(processes, used) == expected
        asked = winnow("recommend", "someone-new", "--json")
        assert asked.returncode == 0, asked.stderr
        assert json.loads(asked.stdout)["degraded"] == []


def test_up_fails_while_answers_stay_degraded(winnow, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Triton that is ready and answers no inference."""

    class Hollow(grpc.GenericRpcHandler):
        def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
            # ModelReadyResponse with ready=true; gRPC answers UNIMPLEMENTED to every other method.
            if call.method.endswith("/ModelReady"):
                return grpc.unary_unary_rpc_method_handler(lambda request, context: b"\x08\x01")
            return None

    monkeypatch.setattr(chain, "FIRST_ANSWER_SECONDS", 2.0)
    hollow = grpc.server(ThreadPoolExecutor(2), handlers=[Hollow()])
    monkeypatch.setenv("TRITON_URL", f"127.0.0.1:{hollow.add_insecure_port('127.0.0.1:0')}")
    monkeypatch.setenv("WINNOW_HOME", str(winnow.home))
    monkeypatch.delenv("REDIS_URL", raising=False)
    hollow.start()
    try:
        with pytest.raises(WinnowError, match=r"retriever: UNIMPLEMENTED.*ranker: UNIMPLEMENTED.*TRITON_URL") as caught:
            Stack(1, Ports.free(), show_progress=False).__enter__()
    finally:
        hollow.stop(None).wait()
    assert "\n" not in str(caught.value)


def test_broken_data_is_reported_in_full_and_nothing_is_written(winnow, tmp_path: Path) -> None:
    data = tmp_path / "shop"
    data.mkdir()
    (data / "dataset.yaml").write_text("name: shop\nevents: {view: 1}\n")
    (data / "items.csv").write_text("item_id,price\na,1\na,2\nb,-3\n")
    (data / "events.csv").write_text("user_id,item_id,event,timestamp\nu,zzz,view,1700000000\nu,a,stare,1700000000\n")
    refused = winnow("build", f"--data={data}")
    assert refused.returncode == 2, refused.stderr
    for named in ("items.csv", "item_id", "events.csv", "zzz", "stare", "price"):
        assert named in refused.stderr
    assert "Traceback" not in refused.stderr
    assert [path.name for path in (winnow.home / "releases").iterdir()] == ["1"]


def test_a_missing_folder_is_named(winnow, tmp_path: Path) -> None:
    refused = winnow("build", f"--data={tmp_path / 'nowhere'}")
    assert refused.returncode == 1
    assert "nowhere" in refused.stderr


def test_recommend_without_a_stack_says_how_to_start_one(winnow, tmp_path: Path) -> None:
    environment = winnow.environment | {"WINNOW_HOME": str(tmp_path)}
    command = [Path(sys.executable).with_name("winnow"), "recommend", "u00001"]
    refused = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert refused.returncode == 1
    assert "winnow up" in refused.stderr


def test_a_release_says_how_it_was_trained_and_what_its_steps_took(winnow) -> None:
    built = BuildRecord.of(winnow.release().folder)
    assert [cost.step for cost in built.steps] == ["ingest", "encode", "extract", "train", "release"]
    assert all(cost.seconds > 0 and cost.cpu_seconds > 0 and cost.memory_mb > 10 for cost in built.steps)
    assert list(built.curves) == ["retriever, holdout fit", "retriever", "ranker"]
    for curve in built.curves.values():
        assert [point.epoch for point in curve.points] == list(range(1, len(curve.points) + 1))
        assert curve.points[-1].loss < curve.points[0].loss or len(curve.points) < 3
    fit = built.curves["retriever, holdout fit"]
    validated = [point.validation for point in fit.points if point.validation is not None]
    assert max(validated) > validated[0]
    assert built.curves["ranker"].points[0].validation is not None


def test_evaluate_compares_the_funnel_with_baselines(winnow, monkeypatch: pytest.MonkeyPatch) -> None:
    printed = winnow("evaluate", "--by=activity", "--json", timeout=900)
    assert printed.returncode == 0, printed.stderr
    report = json.loads(printed.stdout)
    assert report["objective"] == "any"
    assert set(report["metrics"]) == {"funnel", "retriever", "popularity", "item_knn", "ease"}
    held_out = winnow.release(report["release"])
    assert held_out.manifest.holdout == "last"
    outcomes = held_out.array("holdout")
    assert report["users"] <= len(set(outcomes["user"].tolist()))
    # No user has met the held-out item.
    log_user = np.repeat(np.arange(len(held_out.array("user_ids"))), np.diff(held_out.array("offsets")))
    met = set(zip(log_user.tolist(), held_out.array("item").tolist(), strict=True))
    assert not met & set(outcomes[["user", "item"]].tolist())
    for metrics in report["metrics"].values():
        assert 0 <= metrics["ndcg@10"] <= metrics["recall@10"] <= metrics["recall@50"] <= 1
        assert metrics["value_ndcg@10"] <= 1
    assert report["metrics"]["funnel"]["recall@50"] > report["metrics"]["popularity"]["recall@50"]
    assert report["metrics"]["funnel"]["mean_value@10"] > 0
    # The segments have all the users, and their hits are all the hits.
    segments = report["segments"].values()
    assert sum(segment["users"] for segment in segments) == report["users"]
    hits = sum(segment["users"] * segment["metrics"]["ease"]["recall@50"] for segment in segments)
    assert hits == pytest.approx(report["users"] * report["metrics"]["ease"]["recall@50"])

    # The record has the same figures, a row per user, and the reason why nothing is beside them.
    kept = record.read(str(winnow.home), report["release"])
    assert kept is not None
    assert kept.overall.metrics["funnel"]["ndcg@10"].value == report["metrics"]["funnel"]["ndcg@10"]
    low, high = report["difference_intervals"]["popularity"]["recall@50"]
    assert 0 < low < high
    users = pq.read_table(winnow.home / "evaluations" / str(report["release"]) / "users.parquet")
    assert users.num_rows == report["users"]
    hit = pc.mean(pc.greater(users["rank_funnel"], 0)).as_py()
    assert hit == pytest.approx(report["metrics"]["funnel"]["recall@50"], abs=1e-6)
    assert kept.uncompared == "no release is live"
    # The traces of the same users tell where the held-out items went: those not lost are the hits.
    [last] = kept.losses[-1:]
    shown = (last.reached - last.dropped) / kept.losses[0].reached
    assert shown == pytest.approx(report["metrics"]["funnel"]["recall@10"], abs=0.02)
    assert kept.losses[0].reached == report["users"]
    # Clicks are predicted about as often as they happen.
    clicks = kept.calibration["click"]
    expected, happened = (sum(getattr(one, name) * one.count for one in clicks) for name in ("predicted", "observed"))
    assert expected / 2 < happened < expected * 2

    written = winnow("report", str(report["release"]))
    assert written.returncode == 0, written.stderr
    page = Path(written.stdout.strip()).read_text()
    assert all(
        f'id="{part}"' in page for part in ("comparison", "losses", "calibration", "segments", "training", "steps")
    )

    # The release of all events serves like one that learned of the held-out ones: they are added to the state of the
    # other, whose funnel then hides what it showed before.
    monkeypatch.setenv("WINNOW_HOME", str(winnow.home))
    wanted = np.unique(outcomes[["user", "item"]])
    names, index = held_out.array("user_ids")[wanted["user"]].tolist(), ItemIndex.of(held_out)
    with Funnel.serving(held_out) as funnel:
        before = funnel.lists(names, index)
        everything = winnow.release(1)
        rows = {name: row for row, name in enumerate(everything.array("user_ids").tolist())}
        funnel.add_histories(everything, np.array([rows[name] for name in names]))
        after = funnel.lists(names, index)
    assert (before == wanted["item"][:, None]).any(axis=1).mean() > 0.2
    assert not (after == wanted["item"][:, None]).any()

    refused = winnow("evaluate", "--objective=return")
    assert refused.returncode == 1
    assert "view" in refused.stderr
