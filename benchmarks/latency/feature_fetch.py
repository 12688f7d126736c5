"""Time to read the features of 500 items from Redis: packed rows in one MGET, beside a hash per item.

The hashes hold the same numbers and are read the usual way: a redis-py asyncio pipeline of 500 HGETALL, with each field
converted to a number. Both clients parse with hiredis; they alternate, and nothing is cached in the process.
"""

import asyncio
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import redis
from numpy.typing import NDArray
from redis.asyncio import Redis as AsyncRedis
from redis.utils import HIREDIS_AVAILABLE

from benchmarks.common.rows import Row, row
from benchmarks.common.stack import newest
from recommender_transformer.backends.online_store import OnlineStore
from winnow.errors import WinnowError
from winnow.local.redis import server, url
from winnow.ports import Ports
from winnow.release import Release
from winnow.store.publish import publish

ITEMS = 500
ROUNDS = 100
WARM_UP = 10


def measure() -> list[Row]:
    """Milliseconds of both ways for the newest release's rows, and their ratio.

    Raises:
        WinnowError: there is no release, it has fewer than :data:`ITEMS` items, or hiredis is not installed.
    """
    served = newest()
    if len(served.strings("item_ids")) <= ITEMS:
        raise WinnowError(f"the release must have more than {ITEMS} items: build one with `winnow build --items 2000`")
    if not HIREDIS_AVAILABLE:
        raise WinnowError("hiredis is not installed: run `make setup`")
    port = Ports.free().redis
    with tempfile.TemporaryDirectory(prefix="winnow-fetch-") as folder:
        process = server(Path(folder), port, Path(folder) / "redis.log")
        with process:
            publish(served.folder, url(port), show_progress=False)
            _write_hashes(served, port)
            times = asyncio.run(_take_turns(served, url(port)))
    packed, hashes = (float(np.median(times[name])) for name in ("packed rows", "hashes"))
    return [
        row(f"{ITEMS} items, packed rows in one MGET, median", packed, "ms"),
        row(f"{ITEMS} items, a pipeline of HGETALL, median", hashes, "ms"),
        row(f"{ITEMS} items, packed rows to hashes", packed / hashes, "x", "<= 0.25"),
    ]


async def _take_turns(served: Release, address: str) -> dict[str, list[float]]:
    # With a time to live of zero every row is fetched every time.
    store, client = OnlineStore(served, address, row_ttl_s=0.0), AsyncRedis.from_url(address)
    rows = np.asarray(served.array("item_rows"))
    random = np.random.default_rng(0)
    times: dict[str, list[float]] = defaultdict(list)
    for turn in range(WARM_UP + ROUNDS):
        items = (random.permutation(len(rows) - 1)[:ITEMS] + 1).astype(np.int32)
        started = time.perf_counter()
        packed, known = await store.item_rows(items)
        between = time.perf_counter()
        unpacked = await _from_hashes(client, items, rows.dtype)
        ended = time.perf_counter()
        if not (known.all() and packed.tobytes() == rows[items].tobytes() == unpacked.tobytes()):
            raise WinnowError("the two ways do not give the release's rows")
        if turn >= WARM_UP:
            times["packed rows"].append((between - started) * 1000)
            times["hashes"].append((ended - between) * 1000)
    await store.close()
    await client.aclose()
    return times


async def _from_hashes(client: AsyncRedis, items: NDArray[np.int32], dtype: "np.dtype[np.void]") -> NDArray[Any]:
    pipe = client.pipeline(transaction=False)
    for item in items.tolist():
        pipe.hgetall(f"hash:{item}")
    rows = np.zeros(len(items), dtype)
    for position, fields in enumerate(await pipe.execute()):
        rows[position] = (
            int(fields[b"index"]),
            int(fields[b"available"]),
            [int(fields[b"c%d" % column]) for column in range(dtype["categorical"].shape[0])],
            [float(fields[b"n%d" % column]) for column in range(dtype["numeric"].shape[0])],
        )
    return rows


def _write_hashes(served: Release, port: int) -> None:
    with redis.Redis.from_url(url(port)) as client:
        pipe = client.pipeline(transaction=False)
        for item, stored in enumerate(np.asarray(served.array("item_rows"))):
            categorical = {f"c{column}": value for column, value in enumerate(stored["categorical"].tolist())}
            numeric = {f"n{column}": value for column, value in enumerate(stored["numeric"].tolist())}
            head = {"index": int(stored["index"]), "available": int(stored["available"])}
            pipe.hset(f"hash:{item}", mapping=head | categorical | numeric)
        pipe.execute()
