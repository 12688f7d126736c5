"""``python -m recommender_transformer.lists``: compute the offline lists of a release's users by its own funnel.

It runs beside the transformers, with the same models and the same Redis, and logs no impressions, because nothing is
shown. It needs no memory in proportion to the users, and continues where an interrupted computation stopped.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.funnel.runner import Runner
from recommender_transformer.offline import DEADLINE_MS, answered, connected
from recommender_transformer.serving.startup_check import check_backends
from winnow.erasures.ledger import ERASED, MERGED, Ledger, moment_of
from winnow.erasures.tombstone import tombstone_key
from winnow.errors import WinnowError
from winnow.milvus.collection import is_searched
from winnow.milvus.connection import address
from winnow.proxies import bypass_loopback
from winnow.release import Release
from winnow.request import RecommendRequest
from winnow.retrieval import offline_lists
from winnow.schema import DAY_MS
from winnow.store.connection import LOCAL, RedisError

_AT_ONCE = 4
"""Users computed concurrently: half of what a transformer admits, so that requests are still served."""

_SLICE = 64
"""Users whose lists are written together; an interrupted computation repeats as many at most."""

_SET = """
local gone = redis.call('GET', KEYS[2])
if gone and tonumber(string.match(gone, '^%d+')) > tonumber(ARGV[3]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1
"""
"""Writes no list for a user who was erased or merged after the release's data was read."""


class Computed(NamedTuple):
    """The result of a computation.

    Attributes:
        written: lists that were written.
        skipped: users whose answer was degraded; their former list stays.
    """

    written: int
    skipped: int


def users_of(release: Release, active_days: int | None) -> NDArray[np.int64]:
    """Rows of the users with a history; with ``active_days``, of those with an event in the last days of the log."""
    offsets = release.array("offsets")
    rows = np.flatnonzero(np.diff(offsets) > 0)
    if active_days is None:
        return rows
    last = release.array("timestamp")[offsets[rows + 1] - 1]
    active: NDArray[np.int64] = rows[last >= release.manifest.as_of - active_days * DAY_MS]
    return active


async def compute(
    release: Release, store: OnlineStore, runner: Runner, rows: NDArray[np.int64], expiry_s: int, show_progress: bool
) -> Computed:
    """Write the lists of some users.

    Args:
        release: the release.
        store: its store.
        runner: its funnel.
        rows: int64 [n], rows of the users.
        expiry_s: seconds for which the lists hold.
        show_progress: show a progress bar.

    Raises:
        WinnowError: the models do not answer; the message says why. The next computation continues here.
        RedisError: Redis does not answer.
    """
    progress, task = store.keys.lists, f"{release.digest} {len(rows)} {int(rows.sum())}"
    held = await store.client.hgetall(progress)
    first = int(held[b"next"]) if held.get(b"task") == task.encode() else 0
    first = first if first < len(rows) else 0
    user_ids, written, skipped = release.array("user_ids"), 0, 0
    known_ms = moment_of(release.manifest.user_changes)
    erased: Any = await store.client.hgetall(ERASED)
    merged: Any = await store.client.hgetall(MERGED)
    ledger = Ledger.decode(erased, merged)
    with tqdm(total=len(rows), initial=first, desc="lists", unit="user", disable=not show_progress) as bar:
        for start in range(first, len(rows), _SLICE):
            names: list[str] = user_ids[rows[start : start + _SLICE]].tolist()
            gone = ledger.gone(names, known_ms)
            present = [name for name, absent in zip(names, gone.tolist(), strict=True) if not absent]
            lists, degraded = await _answers(runner, store, present)
            if present and not lists:
                raise WinnowError(f"answers are degraded ({degraded}): run it again, which continues where it stopped")
            pipe = store.client.pipeline(transaction=False)
            for user_id, items in lists.items():
                guarded = (store.keys.offline_list(user_id), tombstone_key(user_id))
                pipe.eval(_SET, 2, *guarded, offline_lists.encode(items), expiry_s, known_ms)
            pipe.hset(progress, mapping={"task": task, "next": start + len(names)})
            pipe.expire(progress, expiry_s)
            await pipe.execute()
            written += len(lists)
            skipped += len(present) - len(lists)
            bar.update(len(names))
    return Computed(written, skipped)


async def _answers(
    runner: Runner, store: OnlineStore, user_ids: Sequence[str]
) -> tuple[dict[str, NDArray[np.int32]], str]:
    """The list of each user whose answer is complete, and what another's was degraded by."""
    lists, reason = dict[str, NDArray[np.int32]](), ""
    requests = [
        RecommendRequest(user_id=user_id, k=offline_lists.LENGTH, deadline_ms=DEADLINE_MS) for user_id in user_ids
    ]
    answers = await answered(runner, requests, asyncio.Semaphore(_AT_ONCE))
    for user_id, found in zip(user_ids, answers, strict=True):
        if found["degraded"]:
            reason = found["degraded"][0]
            continue
        items = store.catalog.indices([item["item_id"] for item in found["items"]])
        # Another process may not have a new item yet, or no longer.
        lists[user_id] = items[items <= store.catalog.size]
    return lists, reason


async def _run(release: Release, args: argparse.Namespace) -> Computed:
    rows = users_of(release, args.active_days)
    if not len(rows):
        raise WinnowError(f"release {release.manifest.number} has no such users: their lists would be the trending one")
    async with connected(release, args.redis_url, args.predictor_host) as (store, runner):
        return await compute(release, store, runner, rows, args.hours * 3600, sys.stderr.isatty())


def main() -> None:
    """Compute the lists, or exit with one message."""
    bypass_loopback()
    parser = argparse.ArgumentParser(prog="recommender_transformer.lists", description="Compute offline lists.")
    parser.add_argument("--release-dir", type=Path, required=True, help="Folder of the release.")
    parser.add_argument("--predictor_host", required=True, help="HOST:PORT of Triton's gRPC endpoint.")
    parser.add_argument("--redis-url", default=os.environ.get("REDIS_URL", LOCAL), help="Default: $REDIS_URL.")
    parser.add_argument("--active-days", type=int, help="Only users with an event in the last days of the log.")
    parser.add_argument("--hours", type=int, default=offline_lists.EXPIRY_HOURS, help="Expiry of the lists.")
    args = parser.parse_args()
    for name in ("active_days", "hours"):
        if (value := getattr(args, name)) is not None and value < 1:
            parser.error(f"--{name.replace('_', '-')}: must be at least 1, got {value}")
    try:
        release = Release.open(args.release_dir)
        check_backends(release, args.redis_url, args.predictor_host, address() if is_searched(release) else "")
        computed = asyncio.run(_run(release, args))
    except WinnowError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
    except RedisError as error:
        sys.stderr.write(f"Redis failed: run it again, which continues where it stopped ({error})\n")
        sys.exit(1)
    skipped = f"; {computed.skipped} users skipped, whose answers were degraded" if computed.skipped else ""
    sys.stdout.write(f"release {release.manifest.number}: {computed.written} lists for {args.hours} hours{skipped}\n")


if __name__ == "__main__":
    main()
