"""The whole chain with few and with many items: latency of a recommendation, start and memory of the transformer.

Two releases of untrained models are served at the same time, each by a stack of its own, and asked in turn: other load
of the machine affects both alike.
"""

import itertools
import os
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from benchmarks.common.rows import Row, row
from benchmarks.common.stack import active_users, stack
from benchmarks.scale.subjects.untrained_release import CatalogSize, write
from benchmarks.value.subjects import temporary_home
from winnow import protocols
from winnow.errors import WinnowError
from winnow.local import redis
from winnow.local.processes import Process, http_ok
from winnow.local.stack import Stack
from winnow.ports import Ports
from winnow.release import Release
from winnow.settings.training import IndexSettings

FEW, MANY = 10_000, 1_000_000
REQUESTS, WARM_UP, K = 200, 60, 10
_START_S = 120.0


def measure(few: int = FEW, many: int = MANY, requests: int = REQUESTS, kind: str = "auto") -> list[Row]:
    """Serve both releases and ask them in turn.

    Args:
        few: items of one release.
        many: items of the other.
        requests: timed requests to each.
        kind: how the retriever searches (:class:`winnow.settings.training.IndexSettings`).
    """
    index = IndexSettings.model_validate({"kind": kind})
    with temporary_home() as home, ExitStack() as exits:
        releases = {items: write(home, CatalogSize(items), index) for items in (few, many)}
        stacks = {items: exits.enter_context(stack(release)) for items, release in releases.items()}
        times, stages = _asked(releases, stacks, requests)
        memory = {items: _pss(psutil.Process(each.part("transformer").pid)) for items, each in stacks.items()}
        start, further = _further(releases[many], stacks[many].ports)
        kinds = {items: release.manifest.index for items, release in releases.items()}
    rows = []
    for items in (few, many):
        searched = kinds[items]
        p50, p90 = np.percentile(times[items], [50, 90])
        rows += [
            row(f"{items:,} items, {searched.kind if searched else 'exact'} search: recommendation, p50", p50, "ms"),
            row(f"{items:,} items: recommendation, p90", p90, "ms"),
            *(
                row(f"{items:,} items: {stage}, median", float(np.median(ms)), "ms")
                for stage, ms in stages[items].items()
            ),
            row(f"{items:,} items: proportional memory of the transformer", memory[items] / 2**20, "MiB"),
        ]
    ratio = float(np.median(times[many]) / np.median(times[few]))
    return [
        *rows,
        row(f"p50 with {many:,} items / with {few:,}", ratio, "x", "<= 1.3"),
        row(f"start of a transformer with {many:,} items", start, "s", "<= 15"),
        row(f"its proportional memory after {WARM_UP} requests", further / 2**30, "GiB", "<= 1.5"),
        row("proportional memory of the first transformer", memory[many] / 2**30, "GiB", "<= 1.5"),
    ]


def _asked(
    releases: dict[int, Release], stacks: dict[int, Stack], requests: int
) -> tuple[dict[int, list[float]], dict[int, dict[str, list[float]]]]:
    """Milliseconds of each request, and of each stage of some, by items."""
    times: dict[int, list[float]] = defaultdict(list)
    stages: dict[int, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with ExitStack() as exits:
        endpoints = {items: exits.enter_context(protocols.http(each.ports.http)) for items, each in stacks.items()}
        # Every request is of another user: no list and few rows of items are in a cache.
        users = {items: active_users(release, 2 * WARM_UP + requests) for items, release in releases.items()}
        for turn, (items, endpoint) in itertools.product(range(WARM_UP + requests), endpoints.items()):
            started = time.perf_counter()
            _ask(endpoint, users[items][turn])
            if turn >= WARM_UP:
                times[items].append((time.perf_counter() - started) * 1000)
        for turn, (items, endpoint) in itertools.product(range(-WARM_UP, 0), endpoints.items()):
            trace = _ask(endpoint, users[items][turn], debug=True)["trace"]
            for step in trace["stages"]:
                stages[items][f"{step['stage']}/{step['component']}"].append(step["ms"])
    return times, stages


def _ask(endpoint: httpx.Client, user: str, **fields: Any) -> dict[str, Any]:
    """One answer.

    Raises:
        WinnowError: it is an error, or a part of the funnel did not answer in time.
    """
    [answer] = protocols.over_http_v1(endpoint, [{"user_id": user, "k": K, "deadline_ms": 5000, **fields}])
    if answer["degraded"]:
        raise WinnowError(f"the funnel was degraded: {answer['degraded']}")
    return dict(answer)


def _further(release: Release, ports: Ports) -> tuple[float, int]:
    """Seconds until a further transformer of the release is ready, and its memory beside the first one."""
    own = Ports.free()
    with tempfile.TemporaryDirectory(prefix="winnow-chain-") as folder:
        process = Process(
            "transformer",
            [
                *(sys.executable, "-P", "-u", "-m", "recommender_transformer", f"--release-dir={release.folder}"),
                *(f"--predictor_host=127.0.0.1:{ports.triton_grpc}", "--predictor_protocol=grpc-v2"),
                *("--host=127.0.0.1", f"--http_port={own.http}", f"--grpc_port={own.grpc}", "--drain-seconds=0"),
            ],
            log=Path(folder) / "transformer.log",
            environment={**os.environ, "REDIS_URL": redis.url(ports.redis)},
            ready=lambda: http_ok(own.http, "/v2/models/recommender/ready"),
            timeout=_START_S,
        )
        started = time.perf_counter()
        with process, protocols.http(own.http) as endpoint:
            seconds = time.perf_counter() - started
            for user in active_users(release, WARM_UP):
                _ask(endpoint, user)
            return seconds, _pss(psutil.Process(process.pid))


def _pss(process: psutil.Process) -> int:
    """Proportional set size of a process and its children, in bytes."""
    return sum(each.memory_full_info().pss for each in (process, *process.children(recursive=True)))
