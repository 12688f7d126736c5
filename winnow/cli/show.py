"""What the command line prints: answers as a funnel, evaluations as a table."""

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
from winnow.evaluation.report import Evaluation
from winnow.ports import Ports
from winnow.release import Release
from winnow.request import Answer

console = Console()
STRANGER = "someone-new"


def answer(given: Answer, release: Release) -> None:
    """The recommended items, one a row."""
    titles = _titles(release)
    table = Table("", "item", "title", "score", "click", "conversion", "from", box=None, header_style="dim")
    for item in given["items"]:
        chances = [f"{chance:.1%}" if chance is not None else "" for chance in (item["click"], item["conversion"])]
        sources = ", ".join(item["sources"])
        title = item.get("title") or titles.get(item["item_id"], "")
        table.add_row(str(item["position"] + 1), item["item_id"], title, f"{item['score']:.3f}", *chances, sources)
    console.print(table)
    for step in given["degraded"]:
        console.print(f"[yellow]degraded[/yellow] {step}")


def samples(release: Release, ports: Ports, host: str, k: int = 5) -> None:
    """Three users, one of them new, over all three protocols, each as a funnel."""
    with client.http(ports.http, host) as http, client.grpc(ports.grpc, host) as grpc:
        protocols: dict[str, Callable[[client.Instance], list[Answer]]] = {
            "HTTP v1": lambda request: client.over_http_v1(http, [request]),
            "HTTP v2": lambda request: client.over_http_v2(http, [request]),
            "gRPC v2": lambda request: client.over_grpc(grpc, [request]),
        }
        # The first answers of a fresh server pay for its warm-up.
        for ask in protocols.values():
            ask({"user_id": STRANGER, "k": k})
        for user in [*_active_users(release, 2), STRANGER]:
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
            agreed = "the same list over all three" if len(lists) == 1 else "[red]the lists differ[/red]"
            console.print(" · ".join(f"{name} {ms:.1f} ms" for name, ms in times.items()) + f" · {agreed}\n")


def added(answers: list[dict[str, Any]], rows: list[Addition], release: Release) -> None:
    """The items that are new, one a row, and what they are most like."""
    titles = _titles(release)
    table = Table("item", "title", "", "most like", box=None, header_style="dim")
    for given, row in zip(answers, rows, strict=True):
        nearest = ", ".join(titles.get(item_id) or item_id for item_id in given["nearest"])
        state = "replaced" if given["replaced"] else "new"
        table.add_row(given["item_id"], row.instance.get("title", ""), state, nearest)
    console.print(table)
    console.print(f"{len(answers)} items in release {release.manifest.number}, from now on")


def queries(release: Release, ports: Ports, host: str, k: int = 5) -> None:
    """What is found by a text and by a picture; nothing where the release has no encoder for them."""
    encoders = EncoderInputs.model_validate_json((release.folder / INPUTS_FILE).read_bytes())
    with client.http(ports.http, host) as http:
        if encoders.text is not None:
            wanted = str(release.array("item_titles")[release.array("popular")[0]])
            if wanted:
                console.rule(f'[bold]a query by text[/bold]: "{wanted}"', align="left")
                _found(http, {"text": wanted}, k, release)
        pictured = _pictured(release) if encoders.image is not None else None
        if pictured is not None:
            title, picture = pictured
            console.rule(f'[bold]a query by picture[/bold]: that of "{title}"', align="left")
            _found(http, {"image": client.encoded(picture.read_bytes())}, k, release)


def _found(endpoint: httpx.Client, query: dict[str, Any], k: int, release: Release) -> None:
    [given] = client.over_http_v1(endpoint, [{"query": query, "k": k, "deadline_ms": client.PATIENCE_MS}])
    answer(given, release)
    console.print()


def _pictured(release: Release) -> tuple[str, Path] | None:
    """An item's name and picture, from the data that the release was built from, where it lies on this machine."""
    items = items_of(release.manifest.source)
    if items is None or "image" not in items.column_names:
        return None
    titles = items["title" if "title" in items.column_names else "item_id"].to_pylist()
    for title, place in zip(titles, items["image"].to_pylist(), strict=True):
        if place and "://" not in place and Path(place).is_file():
            return str(title), Path(place)
    return None


def evaluation(result: Evaluation) -> None:
    """One row per recommender."""
    console.print(f"[bold]{result['split']}[/bold]; {result['users']} users")
    names = list(next(iter(result["metrics"].values())))
    table = Table("", *names)
    for recommender, metrics in result["metrics"].items():
        table.add_row(recommender, *(f"{metrics[name]:.4f}" for name in names))
    console.print(table)


def _funnel(given: Answer) -> None:
    """Candidates by source, removed by filter, ranked, final; and the milliseconds of each stage."""
    trace = given["trace"]
    found = ", ".join(f"{name} {count}" for name, count in trace["sources"].items())
    removed = ", ".join(f"{name} -{count}" for name, count in trace["removed"].items()) or "none"
    ranked = sum("ranked" in candidate for candidate in trace["candidates"])
    console.print(f"candidates  {len(trace['candidates'])} ({found})")
    console.print(f"removed     {removed}")
    console.print(f"ranked      {ranked} → final {len(given['items'])}")
    spent: dict[str, float] = defaultdict(float)
    for step in trace["stages"]:
        # The sources run side by side; their stage takes as long as the slowest.
        spent[step["stage"]] = (
            max(spent[step["stage"]], step["ms"]) if step["stage"] == "sources" else spent[step["stage"]] + step["ms"]
        )
    console.print("ms          " + " · ".join(f"{stage} {ms:.1f}" for stage, ms in spent.items()))


def _active_users(release: Release, count: int) -> list[str]:
    """Users with a middling number of events: neither strangers nor the catalog's most tireless."""
    events = np.diff(release.array("offsets"))
    order = np.argsort(events, kind="stable")
    order = order[events[order] > 0]
    places = np.linspace(0, len(order) - 1, count + 2).astype(int)[1:-1]
    return [str(user) for user in release.array("user_ids")[order[places]]]


def _titles(release: Release) -> dict[str, str]:
    titles = release.array("item_titles")
    return dict(zip(release.array("item_ids").tolist(), titles.tolist(), strict=True))
