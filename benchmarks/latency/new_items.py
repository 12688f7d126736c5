"""How soon a new item is found, by two transformers, and whether it is recommended to the right users.

A copy of an item that is recommended to a user is added under a new id: this user should get the copy, and queries that
find the original should find it.
"""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.common.rows import Row, row
from benchmarks.common.stack import active_users, newest, stack
from tests.support.transformer_process import transformer
from winnow import protocols
from winnow.cli import new_items
from winnow.cli.new_items import Addition
from winnow.datasets.origin import items_of
from winnow.encoders.caption import caption
from winnow.errors import WinnowError
from winnow.local.redis import url
from winnow.release import Release
from winnow.request import MAX_TEXT

USERS = 20
DEPTH = 100
TRIED = 20
PATIENCE_S = 10.0


def measure() -> list[Row]:
    """Serve the newest release on a stack of its own and add items to it.

    Raises:
        WinnowError: there is no release, or its data set is missing.
    """
    served = newest()
    catalog = _catalog(served)
    waited, elsewhere, places, shown = [], [], [], []
    with (
        tempfile.TemporaryDirectory(prefix="winnow-fresh-") as folder,
        stack(served, reuse_s=None) as running,
        transformer(served, running.ports, url(running.ports.redis)) as (_, second),
        protocols.http(running.ports.http) as endpoint,
        protocols.http(second) as other,
    ):
        for number, user in enumerate(active_users(served, USERS)):
            file = Path(folder) / "new.jsonl"
            for likes in _ids(endpoint, {"user_id": user, "k": TRIED}):
                item_id = f"copy-{number}-of-{likes}"
                file.write_text(json.dumps(catalog[likes] | {"item_id": item_id, "available": True}, default=str))
                query = _query(new_items.read(file, served)[0])
                # An original that its own query does not find measures the encoders, not the delay.
                if likes in _ids(endpoint, query):
                    break
            else:
                raise WinnowError(f"none of {TRIED} items that suit {user} is found by its own words and picture")
            new_items.add(endpoint, file, new_items.read(file, served), show_progress=False)
            acknowledged = time.perf_counter()
            waited.append(_seconds_until(endpoint, query, item_id, acknowledged))
            elsewhere.append(_seconds_until(other, query, item_id, acknowledged))
            places.append(_ids(endpoint, query).index(item_id) + 1)
            answer = _ids(endpoint, {"user_id": user, "k": DEPTH})
            shown.append(answer.index(item_id) + 1 if item_id in answer else DEPTH + 1)
    return [
        row("new item, acknowledged to found by content, median", float(np.median(waited)), "s"),
        row("new item, acknowledged to found by content, slowest", max(waited), "s", "<= 1"),
        row("new item, acknowledged to found by a second transformer, slowest", max(elsewhere), "s", "<= 1"),
        row("new item, rank in a query by its own text and picture, median", float(np.median(places)), ""),
        row("new item, rank for a user whose best item is the same, median", float(np.median(shown)), "", "<= 10"),
        row(f"new item, within the first {DEPTH} of such a user", float(np.mean(np.array(shown) <= DEPTH)), "share"),
    ]


def _seconds_until(endpoint: httpx.Client, query: protocols.Instance, item_id: str, acknowledged: float) -> float:
    while item_id not in _ids(endpoint, query):
        if time.perf_counter() - acknowledged > PATIENCE_S:
            raise WinnowError(f"{item_id} was not found within {PATIENCE_S:.0f} s")
    return time.perf_counter() - acknowledged


def _query(item: Addition) -> protocols.Instance:
    """A query by the item's text, and its picture if it has one."""
    given = item.instance
    text = caption(given.get("title"), given.get("category"), given.get("description"))[:MAX_TEXT]
    query: dict[str, Any] = {"text": text} if text else {}
    if "image" in item.media:
        query["image"] = protocols.encoded(Path(item.media["image"]).read_bytes())
    return {"query": query, "k": DEPTH}


def _ids(endpoint: httpx.Client, request: protocols.Instance) -> list[str]:
    [answer] = protocols.over_http_v1(endpoint, [request | {"deadline_ms": protocols.PATIENCE_MS}])
    return [item["item_id"] for item in answer["items"]]


def _catalog(served: Release) -> dict[str, dict[str, Any]]:
    items = items_of(served.manifest.source)
    if items is None:
        raise WinnowError("the release's items are not on this machine: measure one of the demo marketplace")
    return {str(item["item_id"]): item for item in items.to_pylist()}
