"""The load check: requests at a constant rate, whose latency counts from the moment at which each was due.

A client that waits for an answer before its next request slows down with the server and hides its delay (coordinated
omission). The requests go out over HTTP, as many connections as they need.
"""

import asyncio
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import httpx
import numpy as np
from tqdm import tqdm

from winnow import protocols
from winnow.lifecycle.gate.requests import LoggedRequest
from winnow.lifecycle.gate.rules import LoadRules
from winnow.lifecycle.verdict import Check
from winnow.ports import LOOPBACK

_PATIENCE_S = 10.0
"""Time-out of a request."""

_LATE_MS = 50.0
"""A request that leaves later than this after it was due says more about this process than about the endpoint."""


@dataclass
class Offered:
    """The answers of a load.

    Attributes:
        ms: from due to answered, of each answered request.
        late_ms: from due to sent, of each request.
        degraded: answers without a part of the funnel.
        errors: messages of the requests without an answer.
    """

    ms: list[float]
    late_ms: list[float]
    degraded: int
    errors: list[str]


def offer(port: int, requests: Sequence[LoggedRequest], rules: LoadRules, show_progress: bool = False) -> Offered:
    """Send requests to an endpoint on this machine at the rate of the rules, in their order, again from the first.

    Args:
        port: HTTP port of the endpoint.
        requests: the requests.
        rules: rate and duration.
        show_progress: show a bar.
    """
    return asyncio.run(_offer(port, requests, rules, show_progress))


def checks(offered: Offered, rules: LoadRules) -> Iterator[Check]:
    """The checks of a load.

    Args:
        offered: its answers.
        rules: what must hold.
    """
    count = len(offered.ms) + len(offered.errors)
    at = f"{count:,} requests at {rules.per_second:g} a second"
    failed = len(offered.errors)
    message = f"{failed:,} of {at} failed" + (f", such as {offered.errors[0]}" if failed else "")
    yield Check(name="load: errors", passed=not failed, value=failed, bound=0.0, message=message)
    if not offered.ms:
        return
    p99 = float(np.percentile(offered.ms, 99, method="higher"))
    message = f"the 99th percentile of {at} is {p99:.1f} ms, the median {np.median(offered.ms):.1f} ms"
    late = float(np.percentile(offered.late_ms, 99, method="higher"))
    if late > _LATE_MS:
        message += f" (the gate itself sent requests up to {late:.0f} ms late: this machine is busy)"
    passed = p99 <= rules.p99_ms
    ending = "" if passed else f"; at most {rules.p99_ms:g} ms are allowed"
    yield Check(name="load: p99", passed=passed, value=p99, bound=rules.p99_ms, message=message + ending)
    share = offered.degraded / len(offered.ms)
    message = f"{offered.degraded:,} of {len(offered.ms):,} answers were degraded ({share:.1%})"
    passed = share <= rules.degraded
    ending = "" if passed else f"; at most {rules.degraded:.1%} are allowed"
    yield Check(name="load: degraded", passed=passed, value=share, bound=rules.degraded, message=message + ending)


async def _offer(port: int, requests: Sequence[LoggedRequest], rules: LoadRules, show_progress: bool) -> Offered:
    offered = Offered([], [], 0, [])
    count = max(1, math.floor(rules.per_second * rules.seconds))
    # The endpoint is on this machine: no proxy, no certificate.
    endpoint = httpx.AsyncClient(
        base_url=f"http://{LOOPBACK}:{port}",
        headers=protocols.credentials(),
        trust_env=False,
        verify=False,  # noqa: S501
        timeout=_PATIENCE_S,
        limits=httpx.Limits(max_connections=None),
    )
    async with endpoint, asyncio.TaskGroup() as group:
        start = time.perf_counter()
        for number in tqdm(range(count), desc="load", leave=False, disable=not show_progress):
            due = start + number / rules.per_second
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(_ask(endpoint, requests[number % len(requests)], due, offered))
    return offered


async def _ask(endpoint: httpx.AsyncClient, request: LoggedRequest, due: float, offered: Offered) -> None:
    offered.late_ms.append((time.perf_counter() - due) * 1000)
    body = {"instances": [{"user_id": request.user_id, "k": request.k}]}
    try:
        response = await endpoint.post(f"/v1/models/{protocols.MODEL}:predict", json=body)
    except httpx.HTTPError as error:
        offered.errors.append(f"user {request.user_id}: {error or type(error).__name__}")
        return
    if response.is_error:
        offered.errors.append(f"user {request.user_id}: {response.status_code} {response.text[:200]}")
        return
    offered.ms.append((time.perf_counter() - due) * 1000)
    [answer] = response.json()["predictions"]
    offered.degraded += bool(answer["degraded"])
