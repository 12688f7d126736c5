"""What a training loop shows and writes while it runs: the bar and the trace."""

import json
import logging
from pathlib import Path

import pytest
import torch

from winnow.training.loop.profiling import RECORDED, profiled
from winnow.training.loop.progress import Progress


def names(trace: Path) -> list[str]:
    return [event.get("name", "") for event in json.loads(trace.read_text())["traceEvents"]]


def test_a_trace_has_a_few_steps_of_a_long_loop(tmp_path: Path) -> None:
    with profiled("fit", tmp_path / "traces") as profiler:
        for _ in range(30):
            torch.ones(4, 4) @ torch.ones(4, 4)
            profiler.step()
    found = names(tmp_path / "traces" / "fit.trace.json")
    assert len({name for name in found if name.startswith("ProfilerStep#")}) == RECORDED
    assert found.count("aten::matmul") == RECORDED


def test_a_loop_that_is_too_short_to_profile_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), profiled("fit", tmp_path) as profiler:
        profiler.step()
    assert "no step of fit was profiled: it has fewer than 5" in caplog.text


def test_nothing_is_profiled_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with profiled("fit", None) as profiler:
        for _ in range(30):
            profiler.step()
    assert not list(tmp_path.iterdir())


def test_the_bar_shows_throughput_time_left_and_the_newest_figures(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("fit", 4_000, "list", show=True) as progress:
        progress.step(1_000)
        progress.show({"ndcg@10": 0.12345})
        progress.step(1_000)
    drawn = capsys.readouterr().err.split("\r")[-1]
    assert drawn.startswith("fit:  50%")
    assert "2.00k/4.00k" in drawn
    assert "lists/s" in drawn
    assert "<" in drawn, "the time left is behind the time so far"
    assert "ndcg@10=0.1235" in drawn or "ndcg@10=0.1234" in drawn


def test_a_hidden_bar_draws_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("fit", 10, "list", show=False) as progress:
        progress.step(10)
    assert capsys.readouterr().err == ""
