"""SIGTERM to one of two transformers under load: does a client that retries lose a request?

The load is 70 % of the capacity of one transformer, so that the remaining one can serve all of it.
"""

import os
import signal
import time
from threading import Thread

from benchmarks.common.load import Load, carry_out
from benchmarks.common.load_plan import Plan
from benchmarks.common.rows import Row, row
from benchmarks.common.stack import active_users, newest, stack
from tests.support.transformer_process import transformer
from winnow.local.processes import Process, http_ok
from winnow.local.redis import url

CLIENTS = 8
WARM_S, PEAK_S, BEFORE_S, AFTER_S = 4.0, 8.0, 5.0, 15.0
SHARE = 0.7
TRIES = 6
USERS = 200


def measure() -> list[Row]:
    """Stop one of two transformers under load.

    Raises:
        WinnowError: there is no release.
    """
    served = newest()
    users = active_users(served, USERS)
    with stack(served) as running:
        redis_url = url(running.ports.redis)
        with (
            transformer(served, running.ports, redis_url, "--reuse-seconds=0") as (leaving, first),
            transformer(served, running.ports, redis_url, "--drain-seconds=0", "--reuse-seconds=0") as (_, second),
        ):
            ports = [first, second]
            carry_out(Plan(ports, users, WARM_S, clients=CLIENTS))
            peak = float(carry_out(Plan([second], users, PEAK_S, clients=CLIENTS)).ok.sum()) / PEAK_S
            with Load(Plan(ports, users, BEFORE_S + AFTER_S, SHARE * peak, tries=TRIES)) as load:
                time.sleep(BEFORE_S)
                told = time.time()
                watched = _Watch(leaving, first)
                answers = load.answers()
                watched.join()
    since = answers.where(answers.due >= told)
    return [
        row("capacity of the remaining transformer", peak, "requests/s"),
        row("requests lost", float((~answers.ok).sum()), "requests", "<= 0"),
        row("of these refused at the last attempt", float((answers.status == 503).sum()), "requests"),
        row("requests sent since SIGTERM", float(len(since)), "requests"),
        row("sent more than once, since SIGTERM", float((since.tries > 1).mean()), "share"),
        row("p99 since SIGTERM", since.percentile(99), "ms"),
        row("not ready after", watched.not_ready_s, "s"),
        row("exit after", watched.exit_s, "s", "<= 30"),
    ]


class _Watch(Thread):
    """Sends SIGTERM to a process and records when it is not ready and when it has exited."""

    def __init__(self, process: Process, port: int) -> None:
        super().__init__()
        self._process = process
        self._port = port
        self.not_ready_s = self.exit_s = 0.0
        self.start()

    def run(self) -> None:
        started = time.perf_counter()
        os.kill(self._process.pid, signal.SIGTERM)
        while http_ok(self._port, "/v2/health/ready"):
            time.sleep(0.01)
        self.not_ready_s = time.perf_counter() - started
        # WNOWAIT: the exited process stays a zombie for its parent object, which reaps it.
        os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        self.exit_s = time.perf_counter() - started
