"""CPU time of the transformer by what it does, from the stacks that ``sampler/sitecustomize.py`` writes."""

import os
import re
import signal
import tempfile
import time
from collections import defaultdict
from operator import itemgetter
from pathlib import Path

import psutil

from benchmarks.common.load import Load
from benchmarks.common.load_plan import Plan
from benchmarks.common.rows import Row, row
from benchmarks.common.stack import active_users, newest
from benchmarks.cost.blocks import LoadShape
from benchmarks.cost.served import serve
from winnow.errors import WinnowError

EVENT_LOOP = "event loop and sockets"
OTHER_THREADS = "other threads"

SAMPLER = Path(__file__).parent / "sampler"
"""Folder whose ``sitecustomize.py`` samples a process."""

_PARTS = (
    ("Triton client", r"/predictor/triton\.py|/grpc/|/kserve/protocol/grpc/"),
    ("embedded predictor", r"/predictor/embedded|/onnxruntime/"),
    ("Redis client", r"/redis/|/asyncio/streams\.py"),
    ("metrics and trace", r"/prometheus_client/|/funnel/(stage_metrics|trace)\.py|/opentelemetry/"),
    ("user state", r"/funnel/query_hydrators/|:OnlineStore\.user_state"),
    ("hydration", r"/funnel/item_hydrators/|:OnlineStore\.item_rows|/backends/row_cache\.py"),
    ("sources", r"/funnel/(sources|backfill)/|:Candidates\.merge"),
    ("filters", r"/funnel/filters/"),
    ("ranker's tensors", r"/funnel/scorers/ranker\.py"),
    ("other scorers", r"/funnel/scorers/"),
    ("ordering", r"/funnel/orderers/"),
    ("answer", r"/funnel/answers\.py|:Runner\.answer"),
    ("impressions", r"/funnel/side_effects/"),
    ("parsing", r"/serving/protocols/|/winnow/request/|/winnow/request\.py|/serving/recommender\.py|:Runner\.admit"),
    ("tasks and timers", r"/asyncio/(tasks|timeouts)\.py"),
    ("runner of the stages", r"/funnel/(?!candidates)"),
    ("HTTP front", r"/(uvicorn|starlette|fastapi|kserve|timing_asgi)/|/recommender_transformer/serving/"),
    ("events and new items", r"/backends/live_items\.py"),
)
"""Part -> frames. The innermost frame that is any part's decides; others, such as NumPy's, count for their caller."""

_ROOT = re.compile(
    r"^<frozen runpy>|/recommender_transformer/__main__\.py|/kserve/model_server\.py|/asyncio/runners\.py"
)
_SHAPES = (LoadShape("v1", 1), LoadShape("v1", 8))
_SAMPLED_S, _WARM_UP_S, _USERS, _WRITING_S = 20.0, 3.0, 300, 10.0


def measure() -> list[Row]:
    """Serve the newest release and sample the transformer under the load of one and of eight clients.

    Raises:
        WinnowError: there is no release, or a transformer wrote no stacks.
    """
    release = newest()
    users = active_users(release, _USERS)
    rows = []
    with tempfile.TemporaryDirectory(prefix="winnow-samples-") as folder:
        path = os.pathsep.join(filter(None, (str(SAMPLER), os.environ.get("PYTHONPATH"))))
        sampled = {"PYTHONPATH": path, "WINNOW_SAMPLES": folder}
        with serve("sampled", release, environment=sampled) as stack:
            for shape in _SHAPES:
                seconds = _WARM_UP_S + _SAMPLED_S + 2
                plan = Plan(
                    [stack.ports.http],
                    users,
                    seconds,
                    clients=shape.connections,
                    fields={"deadline_ms": shape.deadline_ms},
                    distinct=True,
                )
                with Load(plan) as load:
                    time.sleep(_WARM_UP_S)
                    started = time.time()
                    spent, whole_s = _sampled(stack.transformers(), Path(folder))
                    answers = load.answers().between(started, started + _SAMPLED_S)
                spent[OTHER_THREADS] = whole_s - sum(spent.values())
                rows += [
                    row(f"{shape}, transformer's CPU, {part}", 1000 * cpu_s / max(len(answers), 1), "ms")
                    for part, cpu_s in sorted(spent.items(), key=itemgetter(1), reverse=True)
                ]
    return rows


def _sampled(processes: list[psutil.Process], folder: Path) -> tuple[dict[str, float], float]:
    """CPU seconds of the main threads by part, and of the whole processes, while they were sampled."""
    before = sum(_cpu_s(process) for process in processes)
    for process in processes:
        process.send_signal(signal.SIGUSR1)
    time.sleep(_SAMPLED_S)
    for process in processes:
        process.send_signal(signal.SIGUSR2)
    whole_s = sum(_cpu_s(process) for process in processes) - before
    spent: dict[str, float] = defaultdict(float)
    for process in processes:
        stacks, end = folder / f"{process.pid}.stacks", time.monotonic() + _WRITING_S
        while not stacks.exists():
            if time.monotonic() > end:
                raise WinnowError(f"process {process.pid} wrote no stacks")
            time.sleep(0.05)
        for part, cpu_s in by_part(stacks).items():
            spent[part] += cpu_s
        stacks.unlink()
    return spent, whole_s


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def by_part(stacks: Path) -> dict[str, float]:
    """CPU seconds of each part.

    Args:
        stacks: file with lines ``STACK NANOSECONDS``; a stack is ``FILE:FUNCTION`` joined by ``;``, outermost first.
    """
    spent: dict[str, float] = defaultdict(float)
    for line in stacks.read_text().splitlines():
        stack, _, nanoseconds = line.rpartition(" ")
        spent[part_of(stack.split(";"))] += int(nanoseconds) / 1e9
    return spent


def part_of(frames: list[str]) -> str:
    """The part of a stack, given from its outermost frame to its innermost."""
    inner = [frame for frame in frames if not _ROOT.search(frame)]
    for frame in reversed(inner):
        for part, pattern in _PARTS:
            if re.search(pattern, frame):
                return part
    return "other" if inner else EVENT_LOOP
