"""Latency of a recommendation, end to end and stage by stage, against a floor measured in the same run.

The floor is a lower bound of any serving: the two ONNX graphs called in this process, one after the other, and one
Redis round trip. The served floor is the same with Triton running the graphs: a funnel without any cost. Both floors,
gRPC and HTTP alternate, so that a noisy machine affects all alike.
"""

import http.client
import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Any

import numpy as np
import tritonclient.grpc as grpcclient

from benchmarks.common.rows import Row, row
from benchmarks.common.stack import active_users, newest, serving
from benchmarks.latency.floor import Ask, floor, in_process, over_triton
from winnow.errors import WinnowError
from winnow.ports import Ports

K = 10
USERS = 200
WARM_UP = 30
MANY = 8


def measure(requests: int) -> list[Row]:
    """Serve the newest release on a stack of its own and measure it.

    Args:
        requests: per protocol and number of connections.

    Raises:
        WinnowError: there is no release.
    """
    served = newest()
    users = active_users(served, USERS)
    with serving(served) as ports:
        stages, ranked = _stages(ports, users, requests)
        with over_triton(served, ports) as triton:
            floors = {
                "floor": floor(served, users, ports.redis, ranked, in_process(served)),
                "served floor": floor(served, users, ports.redis, ranked, triton),
            }
            rows = _one_connection(ports, users, requests, floors)
        for protocol, connect in (("gRPC", _grpc), ("HTTP", _http)):
            milliseconds, seconds = _together(connect, ports, users, requests)
            rows += _percentiles(f"{protocol}, {MANY} connections", milliseconds)
            rows.append(row(f"{protocol}, {MANY} connections, throughput", len(milliseconds) / seconds, "requests/s"))
    return rows + [row(f"stage {name}, median", float(np.median(ms)), "ms") for name, ms in stages.items()]


def _one_connection(ports: Ports, users: list[str], requests: int, floors: dict[str, Ask]) -> list[Row]:
    """Floors and protocols alternate, so that their ratios are comparable."""
    times: dict[str, list[float]] = defaultdict(list)
    with _grpc(ports) as over_grpc, _http(ports) as over_http:
        asked = floors | {"gRPC": over_grpc, "HTTP": over_http}
        for turn in range(WARM_UP + requests):
            user = users[turn % len(users)]
            for name, ask in asked.items():
                started = time.perf_counter()
                ask(user)
                if turn >= WARM_UP:
                    times[name].append((time.perf_counter() - started) * 1000)
    rows = [found for name in floors for found in _percentiles(name, times[name])]
    for name in ("gRPC", "HTTP"):
        rows += _percentiles(f"{name}, 1 connection", times[name])
        ratio = float(np.median(times[name]) / np.median(times["floor"]))
        rows.append(row(f"{name}, 1 connection, p50 / floor", ratio, "x", "<= 3"))
    return rows


def _together(
    connect: Callable[[Ports], AbstractContextManager[Ask]], ports: Ports, users: list[str], requests: int
) -> tuple[list[float], float]:
    """Milliseconds of every request over :data:`MANY` concurrent connections, and the total seconds."""
    times: list[float] = []
    ready = threading.Barrier(MANY + 1)

    def work(number: int) -> None:
        with connect(ports) as ask:
            for turn in range(WARM_UP):
                ask(users[turn % len(users)])
            ready.wait()
            mine = []
            for turn in range(requests):
                started = time.perf_counter()
                ask(users[(turn * MANY + number) % len(users)])
                mine.append((time.perf_counter() - started) * 1000)
            times.extend(mine)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(MANY)]
    for thread in threads:
        thread.start()
    ready.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    return times, time.perf_counter() - started


def _stages(ports: Ports, users: list[str], requests: int) -> tuple[dict[str, list[float]], int]:
    """Milliseconds of each component from the trace, and the median number of ranked candidates."""
    stages: dict[str, list[float]] = defaultdict(list)
    ranked = []
    with _http(ports, debug=True) as ask:
        for turn in range(WARM_UP + min(requests, 100)):
            body: Any = ask(users[turn % len(users)])
            if turn < WARM_UP:
                continue
            trace = body["predictions"][0]["trace"]
            for step in trace["stages"]:
                stages[f"{step['stage']}/{step['component']}"].append(step["ms"])
            ranked.append(sum("ranked" in candidate for candidate in trace["candidates"]))
    return dict(stages), int(np.median(ranked))


@contextmanager
def _grpc(ports: Ports) -> Iterator[Ask]:
    k = grpcclient.InferInput("k", [1], "INT32")
    k.set_data_from_numpy(np.array([K], np.int32))

    # A subchannel pool of its own: otherwise gRPC clients of one process share a connection.
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpcclient.InferenceServerClient(f"127.0.0.1:{ports.grpc}", channel_args=options) as client:

        def ask(user: str) -> object:
            name = grpcclient.InferInput("user_id", [1], "BYTES")
            name.set_data_from_numpy(np.array([user], np.object_))
            return client.infer("recommender", [name, k])

        yield ask


@contextmanager
def _http(ports: Ports, debug: bool = False) -> Iterator[Ask]:
    with closing(http.client.HTTPConnection("127.0.0.1", ports.http, timeout=30)) as connection:

        def ask(user: str) -> object:
            body = json.dumps({"instances": [{"user_id": user, "k": K, "debug": debug}]})
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/v1/models/recommender:predict", body, headers)
            response = connection.getresponse()
            answer = json.loads(response.read())
            if response.status != http.HTTPStatus.OK:
                raise WinnowError(f"the endpoint refused: {answer}")
            return answer

        yield ask


def _percentiles(what: str, milliseconds: list[float]) -> list[Row]:
    p50, p99 = np.percentile(milliseconds, [50, 99])
    return [row(f"{what}, p50", float(p50), "ms"), row(f"{what}, p99", float(p99), "ms")]
