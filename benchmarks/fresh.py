"""How soon an item that the release was made without is found, and whether it is recommended to who would like it.

A copy of what is recommended to a user is added under a new id, so it is known who ought to be shown it, and what ought
to find it: whatever finds the original.
"""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.rows import Row, row
from benchmarks.serving import active_users, newest, serving
from winnow import client
from winnow.cli import new_items
from winnow.cli.new_items import Addition
from winnow.datasets.origin import items_of
from winnow.encoders.caption import caption
from winnow.errors import WinnowError
from winnow.release import Release
from winnow.request import MAX_TEXT

USERS = 20
DEPTH = 100
TRIED = 20
PATIENCE_S = 10.0


def measure() -> list[Row]:
    """Serve the newest release apart from everything else, and add to it.

    Raises:
        WinnowError: there is no release, or its data lies elsewhere.
    """
    served = newest()
    catalog = _catalog(served)
    waited, places, shown = [], [], []
    with (
        tempfile.TemporaryDirectory(prefix="winnow-fresh-") as folder,
        serving(served) as ports,
        client.http(ports.http) as endpoint,
    ):
        for number, user in enumerate(active_users(served, USERS)):
            file = Path(folder) / "new.jsonl"
            for likes in _ids(endpoint, {"user_id": user, "k": TRIED}):
                item_id = f"copy-{number}-of-{likes}"
                file.write_text(json.dumps(catalog[likes] | {"item_id": item_id, "available": True}, default=str))
                query = _query(new_items.read(file, served)[0])
                # What cannot be found itself says nothing of how soon its copy is; that is the encoders' to answer for.
                if likes in _ids(endpoint, query):
                    break
            else:
                raise WinnowError(f"none of {TRIED} items that suit {user} is found by its own words and picture")
            new_items.add(endpoint, file, new_items.read(file, served), show_progress=False)
            waited.append(_seconds_until(endpoint, query, item_id))
            places.append(_ids(endpoint, query).index(item_id) + 1)
            answer = _ids(endpoint, {"user_id": user, "k": DEPTH})
            shown.append(answer.index(item_id) + 1 if item_id in answer else DEPTH + 1)
    return [
        row("fresh item, acknowledged to found by content, median", float(np.median(waited)), "s"),
        row("fresh item, acknowledged to found by content, slowest", max(waited), "s", "<= 1"),
        row("fresh item, its place in a query by its own words and picture, median", float(np.median(places)), ""),
        row(
            "fresh item, its place for a user whose best item is the same, median", float(np.median(shown)), "", "<= 10"
        ),
        row(f"fresh item, within the first {DEPTH} of such a user", float(np.mean(np.array(shown) <= DEPTH)), "share"),
    ]


def _seconds_until(endpoint: httpx.Client, query: client.Instance, item_id: str) -> float:
    started = time.perf_counter()
    while item_id not in _ids(endpoint, query):
        if time.perf_counter() - started > PATIENCE_S:
            raise WinnowError(f"{item_id} was not found within {PATIENCE_S:.0f} s")
    return time.perf_counter() - started


def _query(item: Addition) -> client.Instance:
    """The item's own words, and its picture where it has one."""
    given = item.instance
    text = caption(given.get("title"), given.get("category"), given.get("description"))[:MAX_TEXT]
    query: dict[str, Any] = {"text": text} if text else {}
    if "image" in item.media:
        query["image"] = client.encoded(Path(item.media["image"]).read_bytes())
    return {"query": query, "k": DEPTH}


def _ids(endpoint: httpx.Client, request: client.Instance) -> list[str]:
    [answer] = client.over_http_v1(endpoint, [request | {"deadline_ms": client.PATIENCE_MS}])
    return [item["item_id"] for item in answer["items"]]


def _catalog(served: Release) -> dict[str, dict[str, Any]]:
    items = items_of(served.manifest.source)
    if items is None:
        raise WinnowError("the release's items are not on this machine: measure one of the demo marketplace")
    return {str(item["item_id"]): item for item in items.to_pylist()}
