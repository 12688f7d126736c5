"""Whether a reused answer ever shows what a computed one would not, over two served transformers.

Events, requests and take-downs of few users are drawn in any order, each at one of the two. An event counts from its
acknowledgement on, whichever transformer gave it. An item that was taken down may be shown for as long as its row is
cached.
"""

import asyncio
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import httpx
import numpy as np

from benchmarks.common.rows import Row, row
from benchmarks.common.stack import newest, stack
from tests.support.reuse.interleaving import Interleaved, interleave
from tests.support.transformer_process import transformer
from winnow.errors import WinnowError
from winnow.local.redis import url
from winnow.ports import LOOPBACK
from winnow.release import Release
from winnow.request import Answer
from winnow.store.connection import connect

STEPS = 10_000
ROW_TTL_S = 5.0
TIMEOUT_S = 30.0


def measure(steps: int = STEPS) -> list[Row]:
    """Serve the newest release by two transformers, with reuse as by default.

    Args:
        steps: events, requests and take-downs together.

    Raises:
        WinnowError: there is no release, or an event was not acknowledged.
    """
    served = newest()
    with stack(served, reuse_s=None) as running:
        address = url(running.ports.redis)
        with transformer(served, running.ports, address) as (_, second):
            found = asyncio.run(_interleave(served, address, [running.ports.http, second], steps))
    milliseconds = 1000 * np.array(found.reused_s or [np.inf])
    return [
        row("reuse, seen or taken-down items shown", len(found.violations), f"of {steps} steps", "<= 0"),
        row("reuse, events", found.events, ""),
        row("reuse, items taken down", found.taken_down, ""),
        row("reuse, share of the answers", found.reused / found.requests, "", ">= 0.2"),
        row("reuse, a reused answer, p50", float(np.median(milliseconds)), "ms", "<= 2"),
        row("reuse, a reused answer, p99", float(np.percentile(milliseconds, 99)), "ms"),
    ]


class _Endpoint(NamedTuple):
    """A transformer over HTTP."""

    http: httpx.AsyncClient

    async def ask(self, user_id: str) -> Answer:
        response = await self._post("recommender", {"user_id": user_id})
        answer: Answer = response["predictions"][0]
        return answer

    async def send(self, happened: dict[str, Any]) -> None:
        await self._post("events", happened)

    async def _post(self, model: str, instance: dict[str, Any]) -> dict[str, Any]:
        response = await self.http.post(f"/v1/models/{model}:predict", json={"instances": [instance]})
        if response.is_error:
            raise WinnowError(f"{model} refused with {response.status_code}: {response.text}")
        body: dict[str, Any] = response.json()
        return body


async def _interleave(served: Release, address: str, ports: list[int], steps: int) -> Interleaved:
    async with AsyncExitStack() as exits:
        endpoints = [
            _Endpoint(
                await exits.enter_async_context(
                    httpx.AsyncClient(base_url=f"http://{LOOPBACK}:{port}", trust_env=False, timeout=TIMEOUT_S)
                )
            )
            for port in ports
        ]
        with connect(address) as client:
            return await interleave(served, client, endpoints, steps, seed=16, row_ttl_s=ROW_TTL_S)
