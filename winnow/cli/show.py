"""Prints the results of commands: recommendations, the demo's funnels."""

import math
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from rich.console import Console
from rich.table import Table

from winnow import client
from winnow.cli.new_items import Addition
from winnow.datasets.origin import items_of
from winnow.encoders.inputs import EncoderInputs
from winnow.encoders.preparation import INPUTS_FILE
from winnow.items.index import ItemIndex
from winnow.ports import Ports
from winnow.release import Release
from winnow.request import Answer

console = Console()
COLD_START_USER = "someone-new"
"""Id of a user without events."""


def answer(given: Answer, release: Release) -> None:
    """Print the recommended items as a table."""
    titles = _Titles(release)
    table = Table("", "item", "title", "score", "click", "conversion", "value", "sources", box=None, header_style="dim")
    for item in given["items"]:
        chances = [percent(item["click"]), percent(item["conversion"])]
        value = "" if item["value"] is None else f"{item['value']:.2g}"
        sources = ", ".join(item["sources"])
        title = item.get("title") or titles.of(item["item_id"])
        score = f"{item['score']:.3f}"
        table.add_row(str(item["position"] + 1), item["item_id"], title, score, *chances, value, sources)
    console.print(table)
    for left_out in given.get("left_out", ()):
        console.print(f"[yellow]left out[/yellow] {left_out['item_id']}: {left_out['reason']}")
    for step in given["degraded"]:
        console.print(f"[yellow]degraded[/yellow] {step}")


def percent(chance: float | None) -> str:
    """A probability with two significant digits; "" where it is unknown."""
    if chance is None:
        return ""
    digits = 1 if chance >= 0.01 or chance == 0 else min(6, 1 - math.floor(math.log10(100 * chance)))
    return f"{chance:.{digits}%}"


def samples(release: Release, ports: Ports, host: str, k: int = 5) -> None:
    """Print the funnels of three users, one of them a cold-start user, with the latency over each protocol."""
    with client.http(ports.http, host) as http, client.grpc(ports.grpc, host) as grpc:
        protocols: dict[str, Callable[[client.Instance], list[Answer]]] = {
            "HTTP v1": lambda request: client.over_http_v1(http, [request]),
            "HTTP v2": lambda request: client.over_http_v2(http, [request]),
            "gRPC v2": lambda request: client.over_grpc(grpc, [request]),
        }
        # Not timed: the first requests to a new server include its warm-up.
        for ask in protocols.values():
            ask({"user_id": COLD_START_USER, "k": k})
        for user in [*_active_users(release, 2), COLD_START_USER]:
            request: dict[str, Any] = {"user_id": user, "k": k}
            times, answers = {}, {}
            for protocol, ask in protocols.items():
                started = time.perf_counter()
                [answers[protocol]] = ask(request)
                times[protocol] = (time.perf_counter() - started) * 1000
            [explained] = client.over_http_v1(http, [request | {"debug": True}])
            console.rule(f"[bold]{user}[/bold]", align="left")
            _funnel(explained)
            answer(explained, release)
            lists = {tuple(item["item_id"] for item in given["items"]) for given in answers.values()}
            agreed = "the same list over all three protocols" if len(lists) == 1 else "[red]the lists differ[/red]"
            latencies = " · ".join(f"{name} {ms:.1f} ms" for name, ms in times.items())
            console.print(f"{latencies} · {agreed}\n", soft_wrap=True)


def added(answers: list[dict[str, Any]], rows: list[Addition], release: Release) -> None:
    """Print the added items as a table, with the most similar items of each."""
    titles = _Titles(release)
    table = Table("item", "title", "", "most similar", box=None, header_style="dim")
    for given, row in zip(answers, rows, strict=True):
        nearest = ", ".join(titles.of(item_id) or item_id for item_id in given["nearest"])
        state = "replaced" if given["replaced"] else "new"
        table.add_row(given["item_id"], row.instance.get("title", ""), state, nearest)
    console.print(table)
    console.print(f"{len(answers)} items added to release {release.manifest.number}")


def queries(release: Release, ports: Ports, host: str, k: int = 5) -> None:
    """Print a query by text and one by image, as far as the release has encoders for them."""
    encoders = EncoderInputs.model_validate_json((release.folder / INPUTS_FILE).read_bytes())
    with client.http(ports.http, host) as http:
        if encoders.text is not None:
            title = release.strings("item_titles")[int(release.array("popular")[0])]
            if title:
                console.rule(f'[bold]a query by text[/bold]: "{title}"', align="left")
                _found(http, {"text": title}, k, release)
        pictured = _pictured(release) if encoders.image is not None else None
        if pictured is not None:
            title, picture = pictured
            console.rule(f'[bold]a query by image[/bold]: that of "{title}"', align="left")
            _found(http, {"image": client.encoded(picture.read_bytes())}, k, release)


def _found(endpoint: httpx.Client, query: dict[str, Any], k: int, release: Release) -> None:
    [given] = client.over_http_v1(endpoint, [{"query": query, "k": k, "deadline_ms": client.PATIENCE_MS}])
    answer(given, release)
    console.print()


def _pictured(release: Release) -> tuple[str, Path] | None:
    """Title and picture of an item of the release's source, or ``None`` if there is no picture on this machine."""
    items = items_of(release.manifest.source)
    if items is None or "image" not in items.column_names:
        return None
    titles = items["title" if "title" in items.column_names else "item_id"].to_pylist()
    for title, location in zip(titles, items["image"].to_pylist(), strict=True):
        if location and "://" not in location and Path(location).is_file():
            return str(title), Path(location)
    return None


def _funnel(given: Answer) -> None:
    """Print the numbers of candidates by source, removed by filter, ranked and final, and the time of each stage."""
    trace = given["trace"]
    found = ", ".join(f"{name} {count}" for name, count in trace["sources"].items())
    removed = ", ".join(f"{name} -{count}" for name, count in trace["removed"].items()) or "none"
    ranked = sum("ranked" in candidate for candidate in trace["candidates"])
    console.print(f"candidates  {len(trace['candidates'])} ({found})")
    console.print(f"removed     {removed}")
    console.print(f"ranked      {ranked} → final {len(given['items'])}")
    spent: dict[str, float] = defaultdict(float)
    for step in trace["stages"]:
        # The sources run concurrently: their stage takes as long as the slowest.
        spent[step["stage"]] = (
            max(spent[step["stage"]], step["ms"]) if step["stage"] == "sources" else spent[step["stage"]] + step["ms"]
        )
    console.print("time (ms)   " + " · ".join(f"{stage} {ms:.1f}" for stage, ms in spent.items()))


def _active_users(release: Release, count: int) -> list[str]:
    """Ids of ``count`` users between the least and the most active ones."""
    events = np.diff(release.array("offsets"))
    order = np.argsort(events, kind="stable")
    order = order[events[order] > 0]
    ranks = np.linspace(0, len(order) - 1, count + 2).astype(int)[1:-1]
    return [str(user) for user in release.array("user_ids")[order[ranks]]]


class _Titles:
    """The titles of a release's items by id."""

    def __init__(self, release: Release) -> None:
        self._titles, self._find = release.strings("item_titles"), ItemIndex.of(release).find

    def of(self, item_id: str) -> str:
        """The title; empty for an item without one, and for one that the release does not have."""
        return self._titles[int(self._find([item_id.encode()])[0])]
