"""The command line as a person meets it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

COMMANDS = ("build", "up", "down", "recommend", "items add", "evaluate", "skew", "demo")
HERE = Path(__file__).parent


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_teaches(command: str) -> None:
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
    assert "a query by picture" in shown.stdout
    # It found the release that was there.
    assert [path.name for path in (winnow.home / "releases").iterdir()] == ["1"]


def test_ctrl_c_leaves_nothing_running(winnow, free_ports: int, tmp_path: Path) -> None:
    environment = winnow.environment
    command = [Path(sys.executable).with_name("winnow"), "up", f"--port-base={free_ports}"]
    # A session of its own stands for the terminal, whose Ctrl-C reaches the foreground process.
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True) as up:
        assert up.stdout is not None
        assert "Ctrl-C stops it" in up.stdout.readline()
        children = psutil.Process(up.pid).children(recursive=True)
        assert len(children) >= 4
        os.kill(up.pid, signal.SIGINT)
        assert up.wait(timeout=60) in (0, 130)
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []


def test_broken_data_is_reported_whole_and_leaves_nothing(winnow, tmp_path: Path) -> None:
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


def test_evaluate_compares_the_funnel_with_the_classics(winnow) -> None:
    printed = winnow("evaluate", "--json", timeout=900)
    assert printed.returncode == 0, printed.stderr
    report = json.loads(printed.stdout)
    assert set(report["metrics"]) == {"funnel", "retriever", "popularity", "item_knn", "ease"}
    held_out = winnow.release(report["release"])
    assert held_out.manifest.holdout == "last"
    assert report["users"] <= len(held_out.array("holdout"))
    for metrics in report["metrics"].values():
        assert set(metrics) == {"ndcg@10", "recall@10", "recall@50", "coverage@10"}
        assert 0 <= metrics["ndcg@10"] <= metrics["recall@10"] <= metrics["recall@50"] <= 1
    assert report["metrics"]["funnel"]["recall@50"] > report["metrics"]["popularity"]["recall@50"]
    assert winnow("evaluate", "--min-weight=1000").returncode == 1
