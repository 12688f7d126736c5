"""The parts of the benchmark of a recommendation's cost that compute: processes, stacks, streams of requests, lists."""

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.common.load_plan import Plan, stream
from benchmarks.cost.blocks import FIGURES, Block, LoadShape, ratio
from benchmarks.cost.breakdown import EVENT_LOOP, SAMPLER, by_part, part_of
from benchmarks.cost.lists import BATCH, batches, same
from benchmarks.cost.requests import drawn
from benchmarks.cost.served import TRANSFORMER, name_of
from tests.support.tiny_release import write_release
from tests.support.until import until
from winnow.request import Answer, RecommendRequest, parse_all

SITE = "/venv/lib/python3.11/site-packages"
FUNNEL = "/checkout/transformers/recommender_transformer/funnel"
LOOP = ["<frozen runpy>:_run_code", f"{SITE}/kserve/model_server.py:start", "/lib/asyncio/runners.py:run"]


def answer(*scores: float, ids: str = "abcdefgh") -> Answer:
    items = [{"item_id": name, "score": score} for name, score in zip(ids, scores, strict=False)]
    return {"user_id": "u", "release": 1, "request_id": "r", "items": items, "degraded": []}  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (
            ["/a/.venv/bin/python", "-P", "-u", "-m", "recommender_transformer", "--release-dir=/redis-server"],
            TRANSFORMER,
        ),
        (["/a/.venv/bin/python", "-m", "bloom_sidecar"], "Bloom sidecar"),
        (["/opt/tritonserver/bin/tritonserver", "--model-repository=/r"], "Triton"),
        (["/opt/tritonserver/backends/python/triton_python_backend_stub", "/m"], "Triton's stubs"),
        (["/a/bin/redis-server 127.0.0.1:6379"], "Redis"),
        (["/bin/sh"], "others"),
        ([], "others"),
    ],
)
def test_a_process_is_named_by_its_executable_or_module_alone(command: list[str], name: str) -> None:
    assert name_of(command) == name


@pytest.mark.parametrize(
    ("frames", "part"),
    [
        ([], EVENT_LOOP),
        ([f"{SITE}/uvicorn/protocols/http/httptools_impl.py:run", f"{SITE}/fastapi/routing.py:app"], "HTTP front"),
        (
            [f"{FUNNEL}/runner.py:Runner.score", f"{FUNNEL}/scorers/ranker.py:score", f"{SITE}/numpy/x.py:where"],
            "ranker's tensors",
        ),
        ([f"{FUNNEL}/scorers/ranker.py:score", "/checkout/backends/predictor/triton.py:_call"], "Triton client"),
        ([f"{FUNNEL}/runner.py:Runner.answer", f"{FUNNEL}/candidates.py:Candidates.take"], "answer"),
        ([f"{FUNNEL}/fallbacks.py:attempt", "/lib/asyncio/timeouts.py:timeout"], "tasks and timers"),
        ([f"{FUNNEL}/fallbacks.py:attempt"], "runner of the stages"),
        (["/lib/functools.py:cached"], "other"),
    ],
)
def test_the_innermost_frame_of_a_part_decides(frames: list[str], part: str) -> None:
    assert part_of([*LOOP, *frames]) == part


def test_the_sampler_counts_the_cpu_time_of_the_function_that_used_it(tmp_path: Path) -> None:
    code = (
        "import time\n"
        "def burn():\n"
        "    end = time.process_time() + 1.5\n"
        "    while time.process_time() < end: sum(range(1000))\n"
        "print('started', flush=True)\n"
        "time.sleep(0.5)\n"
        "burn()\n"
        "print('burnt', flush=True)\n"
        "time.sleep(60)\n"
    )
    script = tmp_path / "scorers/ranker.py"
    script.parent.mkdir()
    script.write_text(code)
    variables = {**os.environ, "PYTHONPATH": str(SAMPLER), "WINNOW_SAMPLES": str(tmp_path)}
    with subprocess.Popen([sys.executable, script], env=variables, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        process.send_signal(signal.SIGUSR1)
        assert process.stdout.readline() == "burnt\n"
        process.send_signal(signal.SIGUSR2)
        stacks = tmp_path / f"{process.pid}.stacks"
        until(stacks.exists)
        process.kill()
    burnt = Counter[str]()
    for line in stacks.read_text().splitlines():
        stack, _, nanoseconds = line.rpartition(" ")
        burnt[stack.rpartition(":")[2]] += int(nanoseconds)
    assert burnt["burn"] / 1e9 == pytest.approx(1.5, abs=0.3)
    assert burnt["burn"] >= 0.9 * burnt.total()


def test_the_parts_add_up_to_the_sampled_time(tmp_path: Path) -> None:
    stacks = tmp_path / "1.stacks"
    lines = (([*LOOP], 5), ([*LOOP, f"{FUNNEL}/filters/seen.py:keep"], 2), ([*LOOP, f"{FUNNEL}/filters/x.py:keep"], 3))
    stacks.write_text("".join(f"{';'.join(frames)} {10**9 * seconds}\n" for frames, seconds in lines))
    assert by_part(stacks) == {EVENT_LOOP: 5.0, "filters": 5.0}


def test_ratios_compare_the_blocks_of_the_same_turn() -> None:
    shape = LoadShape("v1", 8)

    def block(cpu_ms: float) -> Block:
        return Block({TRANSFORMER: cpu_ms, "Redis": cpu_ms}, 1.0, 1.0, 1.0, 1.0, 0.0)

    # The machine became ten times slower: the medians alone would tell nothing.
    blocks = {("after", shape): [block(1), block(10), block(10)], ("before", shape): [block(2), block(20), block(20)]}
    figure, _ = FIGURES["CPU, all processes"]
    assert ratio(blocks, shape, "after", "before", figure) == 0.5
    assert figure(block(3)) == 6


def test_distinct_requests_differ_and_every_third_of_a_repeating_stream_was_sent_before() -> None:
    plan = Plan([1], ["a", "b"], 1.0, fields={"deadline_ms": 500}, distinct=True)
    requests = stream(plan)
    sent = [requests(n) for n in range(40)]
    assert len(set(sent)) == 40
    assert requests(40) == sent[0]
    users = [f"u{n}" for n in range(300)]
    repeating = stream(Plan([1], users, 1.0, fields={"deadline_ms": 500}, distinct=True, repeats=True))
    sent = [repeating(n) for n in range(24, 600)]
    again = [content in sent[:n] for n, content in enumerate(sent)]
    assert again[24:] == [n % 3 == 2 for n in range(24, len(sent))]


def test_lists_are_the_same_but_for_items_of_equal_scores() -> None:
    one = answer(3.0, 2.0, 2.0)
    assert same(one, answer(3.0, 2.0, 2.0, ids="acb"))
    assert not same(one, answer(3.0, 2.0, 1.9))
    assert not same(one, answer(3.0, 2.0))


def test_batches_have_every_request_once_and_only_such_with_the_same_fields() -> None:
    requests = [{"user_id": "u"} if n % 3 else {"user_id": "u", "diversity": 0.5} for n in range(100)]
    found = batches(requests)
    assert sorted(position for batch in found for position in batch) == list(range(100))
    assert {len(batch) for batch in found} >= {BATCH}
    assert all(len({tuple(requests[position]) for position in batch}) == 1 for batch in found)


def test_drawn_requests_are_valid_and_of_every_kind(tmp_path: Path) -> None:
    requests = drawn(write_release(tmp_path, 1), 200)
    assert requests == drawn(write_release(tmp_path / "again", 1), 200)
    parsed = [parse_all(RecommendRequest, [request])[0] for request in requests]
    fields = {field for request in requests for field in request}
    assert fields >= {"user_id", "k", "filters", "repeats", "objectives", "diversity"}
    assert {request.k for request in parsed} >= {1, 100}


def test_a_part_without_its_peer_is_left_out_with_a_message() -> None:
    ran = CliRunner().invoke(app, ["cost", "--only", "5", "--json"])
    assert ran.exit_code == 0
    assert "part 5 is left out: name Gorse's executable, --gorse PATH" in ran.stderr
    assert CliRunner().invoke(app, ["cost", "--only", "9"]).exit_code == 2
