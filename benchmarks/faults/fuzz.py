"""10,000 generated requests over every protocol: no 5xx, no request without an answer, no growth of memory."""

import sys

from benchmarks.common.rows import Row, row
from benchmarks.common.stack import newest, serving
from tests.support.faults.fuzz import TIMEOUT_S, send, vocabulary_of
from tests.support.faults.hostile_media import resident_mb
from winnow import protocols

COUNT = 10_000
WARM_UP = 1_000
RSS_MB = 50


def measure() -> list[Row]:
    """Serve the newest release on a stack of its own and send the requests.

    Raises:
        WinnowError: there is no release.
    """
    served = newest()
    vocabulary = vocabulary_of(served)
    with serving(served) as ports, protocols.http(ports.http) as endpoint:
        send(vocabulary, ports.http, ports.grpc, WARM_UP, seed=1)
        before = resident_mb(endpoint)
        answers = send(vocabulary, ports.http, ports.grpc, COUNT, seed=0)
        growth = resident_mb(endpoint) - before
    total = sum(answers.statuses.values())
    results = answers.statuses["200"] + answers.statuses["OK"]
    for call, answer in answers.broken[:5]:
        sys.stderr.write(f"{answer[:500]}\n{str(call)[:1000]}\n")
    return [
        row("generated requests, sent", total, "", f">= {COUNT}"),
        row("generated requests, answered with a result", results / total, "share"),
        row("generated requests, answered 5xx or INTERNAL", len(answers.broken), "", "<= 0"),
        row(f"generated requests, without an answer after {TIMEOUT_S:.0f} s", len(answers.hung), "", "<= 0"),
        row("generated requests, growth of the server's memory", growth, "MB", f"<= {RSS_MB}"),
    ]
