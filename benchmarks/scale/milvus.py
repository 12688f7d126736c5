"""The items of a release in Milvus Lite: its lists and a scan's, filters, a release switch, and answers without it."""

import asyncio
import logging
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.rows import Row, row
from benchmarks.value.subjects import temporary_home
from recommender_transformer.backends.milvus import MilvusItems
from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.backends.predictor.triton import TritonModels
from recommender_transformer.funnel.runner import Runner
from recommender_transformer.pipeline import recommender
from winnow import home
from winnow.cli.build import run_build
from winnow.local.infrastructure import Infrastructure, infrastructure
from winnow.milvus.collection import collection_name, expression
from winnow.milvus.publish import drop
from winnow.milvus.publish import publish as publish_to_milvus
from winnow.ports import Ports
from winnow.release import BuildInputs, Release
from winnow.request import Answer, RecommendRequest
from winnow.store.publish import publish

ITEMS, USERS, EVENTS = 2_000, 400, 16_000
SETTINGS = '{"retriever":{"max_epochs":2},"ranker":{"epochs":1},"index":{"kind":"milvus"}}'
QUERIES, ANSWERS, CONCURRENT = 50, 60, 4

log = logging.getLogger(__name__)

Ask = Callable[[str], Coroutine[Any, Any, Answer]]


@dataclass
class Seen:
    """What requests got.

    Attributes:
        full: answers of 10 items.
        degraded: answers that name a missing part.
        seconds: of each answer.
    """

    full: int = 0
    degraded: int = 0
    seconds: list[float] = field(default_factory=list)


def measure() -> list[Row]:
    """Builds two releases of a small marketplace and serves both from one Milvus Lite."""
    with temporary_home():
        inputs = BuildInputs(items=ITEMS, users=USERS, events=EVENTS, training=SETTINGS)
        first, second = (run_build(inputs, "none") for _ in range(2))
        return _measure(first, second)


def _measure(first: Release, second: Release) -> list[Row]:
    with ExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="winnow-milvus-")))
        one = exits.enter_context(_servers(first, folder / "one"))
        two = exits.enter_context(_servers(second, folder / "two", one))
        for release in (first, second):
            publish(release.folder, one.redis_url, show_progress=False)
        started = time.perf_counter()
        publish_to_milvus(first.folder, one.milvus_url, show_progress=False)
        published_s = time.perf_counter() - started
        rows = [row(f"publish {ITEMS:,} items", published_s, "s"), *asyncio.run(_lists(first, one))]
        rows += _switched(first, one, second, two)
        return [*rows, *asyncio.run(_away(second, two, next(p for p in one.processes if p.name == "milvus")))]


def _servers(release: Release, folder: Path, shared: Infrastructure | None = None) -> Any:
    """A Triton of the release, with a Redis and a Milvus of its own or those of ``shared``."""
    number = release.manifest.number
    return infrastructure(
        home.model_repository(number),
        {name: [number] for name in release.manifest.models},
        ports=Ports.free(),
        folder=folder,
        redis_url=shared.redis_url if shared else None,
        needs_milvus=True,
        milvus_url=shared.milvus_url if shared else None,
    )


async def _lists(release: Release, parts: Infrastructure) -> list[Row]:
    """Milvus' lists compared with a scan of all items, without and with the filter of one category."""
    items, k = MilvusItems(release, parts.milvus_url), release.manifest.candidates["retriever"]
    vectors, packed = release.array("item_vectors"), release.array("item_rows")
    rng, width = np.random.default_rng(0), release.schema.item[0].width
    available = packed["available"] != 0
    available[0] = False
    codes, counts = np.unique(packed["categorical"][available][:, 0], return_counts=True)
    rarest = int(codes[np.argmin(np.where(codes > 0, counts, len(packed)))])
    of_rarest = available & (packed["categorical"][:, :width] == rarest).any(axis=1)
    recalls, shares, left_over, differences = [], [], [], []
    seconds: dict[str, list[float]] = {"Milvus Lite": [], "a scan with NumPy": []}
    for _ in range(QUERIES):
        user = vectors[rng.integers(1, len(vectors), 5)].mean(axis=0)
        started = time.perf_counter()
        found, scores = await items.nearest(user, k, expression(width, None, []))
        seconds["Milvus Lite"].append(time.perf_counter() - started)
        started = time.perf_counter()
        exact = _best(vectors @ user, available, k)
        seconds["a scan with NumPy"].append(time.perf_counter() - started)
        recalls.append(len(np.intersect1d(found, exact)) / len(exact))
        differences.append(float(np.abs(scores - vectors[found] @ user).max()))
        filtered, _ = await items.nearest(user, k, expression(width, [rarest], []))
        wanted = _best(vectors @ user, of_rarest, k)
        shares.append(len(np.intersect1d(filtered, wanted)) / len(wanted))
        left_over.append(len(np.intersect1d(exact, wanted)) / len(wanted))
    await items.close()
    return [
        row(f"recall@{k} of the exact list, mean", float(np.mean(recalls)), "", ">= 0.98"),
        row("largest difference of a score from the product", max(differences), "", "<= 0.0001"),
        row(
            f"filtered to {of_rarest.sum()} of {ITEMS:,} items: share of the exact list",
            float(np.mean(shares)),
            "",
            ">= 0.98",
        ),
        row("the same where the unfiltered list is filtered afterwards", float(np.mean(left_over)), ""),
        *(row(f"a search, {name}, p50", 1000 * float(np.median(each)), "ms") for name, each in seconds.items()),
    ]


def _best(scores: NDArray[np.float32], passes: NDArray[np.bool_], k: int) -> NDArray[np.intp]:
    return np.flatnonzero(passes)[np.argsort(-scores[passes], kind="stable")[:k]]


def _switched(first: Release, one: Infrastructure, second: Release, two: Infrastructure) -> list[Row]:
    """Requests while the next release is published, then served, while the first one is dropped."""
    seen = Seen()
    publication = threading.Thread(target=publish_to_milvus, args=(second.folder, one.milvus_url, False))

    async def publishing(ask: Ask) -> None:
        publication.start()
        while publication.is_alive() or len(seen.seconds) < ANSWERS:
            await _load(ask, first, seen)

    async def dropping(ask: Ask) -> None:
        dropped = asyncio.create_task(asyncio.to_thread(drop, one.milvus_url, first.manifest.number))
        while not dropped.done() or len(seen.seconds) < 2 * ANSWERS:
            await _load(ask, second, seen)
        assert await dropped == [collection_name(first)]

    asyncio.run(_funnel(first, one, publishing))
    asyncio.run(_funnel(second, two, dropping))
    answers = len(seen.seconds)
    return [
        row(f"a release switch under load, {answers} answers: failed or not of 10 items", _empty(seen), "", "<= 0"),
        row("the same: without the retriever", seen.degraded, "answers", "<= 0"),
    ]


async def _away(release: Release, parts: Infrastructure, milvus: Any) -> list[Row]:
    """Requests before Milvus is killed, while it is away, and after it is back."""
    before, during = Seen(), Seen()
    back_s = 0.0

    async def talk(ask: Ask) -> None:
        nonlocal back_s
        while len(before.seconds) < ANSWERS:
            await _load(ask, release, before)
        os.kill(milvus.pid, signal.SIGKILL)
        milvus.stop()
        while len(during.seconds) < ANSWERS:
            await _load(ask, release, during)
        milvus.start()
        started = time.perf_counter()
        while (await ask(_user(release, 0)))["degraded"]:
            pass
        back_s = time.perf_counter() - started

    await _funnel(release, parts, talk)
    answers = len(during.seconds)
    return [
        row(f"Milvus killed, {answers} answers: failed or not of 10 items", _empty(during), "", "<= 0"),
        row("the same: marked", during.degraded / answers, "share", ">= 1"),
        row("an answer with Milvus, p50", 1000 * float(np.median(before.seconds)), "ms"),
        row("an answer while it is away, p50", 1000 * float(np.median(during.seconds)), "ms"),
        row("from its start to the first complete answer", back_s, "s"),
    ]


async def _funnel(release: Release, parts: Infrastructure, talk: Callable[[Ask], Coroutine[Any, Any, None]]) -> None:
    """Run ``talk`` with a funnel of the release, in this process."""
    store, items = OnlineStore(release, parts.redis_url), MilvusItems(release, parts.milvus_url)
    models = TritonModels(parts.triton, release.manifest.number)
    runner = Runner(recommender(release, store, models, items), store.cold_start_state, deadline_ms=5_000)

    async def ask(user_id: str) -> Answer:
        [query] = await runner.admit([RecommendRequest(user_id=user_id, k=10)], "bench")
        return await runner.recommend(query)

    try:
        await ask(_user(release, 0))
        await talk(ask)
    finally:
        await runner.close()
        await items.close()
        await models.close()
        await store.close()


async def _load(ask: Ask, release: Release, seen: Seen) -> None:
    """Some requests at the same time."""

    async def one(number: int) -> None:
        started = time.perf_counter()
        try:
            answer = await ask(_user(release, number))
        except Exception:
            log.exception("a request failed")
        else:
            seen.full += len(answer["items"]) == 10
            seen.degraded += any(each.startswith("retriever:") for each in answer["degraded"])
        seen.seconds.append(time.perf_counter() - started)

    await asyncio.gather(*(one(len(seen.seconds) + number) for number in range(CONCURRENT)))


def _user(release: Release, number: int) -> str:
    """A user with a history."""
    active = np.flatnonzero(np.diff(release.array("offsets")))
    return str(release.array("user_ids")[active[number % len(active)]])


def _empty(seen: Seen) -> int:
    return len(seen.seconds) - seen.full
