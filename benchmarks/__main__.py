"""``python -m benchmarks NAME [--json]``: exit code 1 when a target does not hold."""

import importlib
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.common.rows import Row, render
from winnow import proxies
from winnow.errors import WinnowError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)

Json = Annotated[bool, typer.Option("--json", help="Print the rows as a JSON list.")]

BENCHMARKS = {
    "live": ("live", "Every benchmark below from an event to a recommendation, one after another."),
    "freshness": (
        "latency.event_freshness",
        "Events and recommendations of two transformers in turn: stale answers, and the time of an acknowledgement.",
    ),
    "bloom": (
        "quality.bloom_filters",
        "False positives, items lost under concurrent writers, speed beside another library, bytes per user.",
    ),
    "fetch": ("latency.feature_fetch", "Features of 500 items from Redis: packed rows beside a hash per item."),
    "access": ("latency.access", "What access control adds to a request, by kind of caller."),
    "overload": ("faults.overload", "Three times the capacity for a minute: requests refused and answered, recovery."),
    "slow_clients": ("faults.slow_clients", "20 honest clients with and without 500 clients that send slowly."),
    "failures": (
        "faults.fault_injection",
        "Redis killed, slowed and frozen, the ranker unloaded, Triton and the sidecar killed, each under load.",
    ),
    "drain": ("faults.drain", "SIGTERM to one of two transformers under load: requests lost, seconds until exit."),
    "switch": (
        "faults.switch",
        "Makes its own data: promotions and rollbacks of a stack under load, and promotions killed at any moment.",
    ),
    "cluster": ("faults.redis_cluster", "A real Redis Cluster: equal answers, freshness, and a node that is killed."),
    "generated": ("faults.fuzz", "10,000 generated requests over every protocol: no 5xx, no hang, memory flat."),
    "skew": ("quality.feature_skew", "Served features against recomputed ones; a changed definition is named."),
    "fresh": (
        "latency.new_items",
        "From a new item's acknowledgement to the first query that finds it and the first user who gets it.",
    ),
    "filters": (
        "latency.filters",
        "Makes its own data: `filters.where` that matches 0.1 to 90 % of 100,000 items, beside plain requests.",
    ),
    "catalog": (
        "latency.catalog_changes",
        "Items taken down, repriced, described anew and deleted under load, two transformers; 20,000 new items.",
    ),
    "surface": ("latency.surface", "Every kind of request beside a plain one: p50 with one connection."),
    "explorer": (
        "latency.explorer",
        "p50 of the explorer's pages, its memory, and the recommender's p50 with and without it.",
    ),
    "gate": ("quality.gate_alarms", "How often the gate refuses an equal release, and a worse one; simulated."),
    "hostile": ("faults.hostile_media", "200 hostile pictures and sounds: each refused by field, memory flat."),
    "erasure": (
        "cost.erasure",
        "Makes its own data: erases a user beside a stream of 1,000,000 events, while another connection reads.",
    ),
    "autoscale": (
        "simulation.autoscale",
        "The manifests' thresholds in a simulated spike and day: the objective, the cost, a wrong unit.",
    ),
}
"""Command -> module and help. None has options; all serve the newest release, except the switch and the simulations."""


@app.callback()
def choose() -> None:
    """Speed and quality, each figure beside its target."""


@app.command()
def funnel(
    as_json: Json = False,
    requests: Annotated[int, typer.Option(min=20, help="Requests per connection and protocol.")] = 300,
) -> None:
    """End-to-end latency over gRPC and HTTP, stage by stage, against a floor measured in the same run."""
    from benchmarks.latency.funnel import measure

    _finish(measure(requests), as_json)


@app.command()
def encoders(as_json: Json = False) -> None:
    """Parity, learning, cold items, throughput, incremental extraction, new items, hostile media."""
    from benchmarks.encoders import measure

    _finish(measure(show_progress=sys.stderr.isatty()), as_json)


@app.command()
def objectives(
    as_json: Json = False,
    only: Annotated[str, typer.Option(help="Numbers of the parts, separated by commas.")] = "1,2,3,4,5,6,7",
    before: Annotated[
        str | None,
        typer.Option(help="Git revision whose training and requests part 7 compares with.", show_default=False),
    ] = None,
) -> None:
    """Builds and serves its own data: 1 heads, 2 order by value, 3 dislikes, 4 ratings, 5 repeats, 6 funnel, 7 cost."""
    from benchmarks.objectives import COST, PARTS, measure

    parts = _chosen(only, (*PARTS, COST))
    if COST in parts and before is None:
        typer.echo(f"part {COST} is left out: name a revision to compare with, --before REV", err=True)
    _finish(measure(parts, before), as_json)


@app.command()
def training(
    as_json: Json = False,
    only: Annotated[str, typer.Option(help="Numbers of the parts, separated by commas.")] = "1,2,3,4,5,6,8,9",
) -> None:
    """1 steps, 2 large log, 3 quality, 4 processes, 5 losses, 6 peer, 7 largest log, 8 CPU s, 9 incremental builds."""
    from benchmarks.training.parts import PARTS, measure

    _finish(measure(_chosen(only, PARTS)), as_json)


@app.command()
def scale(
    as_json: Json = False,
    only: Annotated[str, typer.Option(help="Numbers of the parts, separated by commas.")] = "1,2,3,4,5",
) -> None:
    """1 search, 2 Triton's memory, 3 publishing, 4 Milvus, 5 `winnow plan`, 6 and 7 FAISS, 8 the whole chain."""
    from benchmarks.scale.parts import PARTS, measure

    _finish(measure(_chosen(only, PARTS)), as_json)


@app.command()
def cost(
    as_json: Json = False,
    only: Annotated[str, typer.Option(help="Numbers of the parts, separated by commas.")] = "1,2,3,4,5",
    before: Annotated[
        Path | None,
        typer.Option(help="Checkout of an earlier version, set up, to compare with.", show_default=False),
    ] = None,
    gorse: Annotated[
        Path | None, typer.Option(help="Executable gorse-in-one to compare with.", show_default=False)
    ] = None,
) -> None:
    """CPU of a recommendation: 1 beside an earlier version, 2 where it goes, 3 embedded and reuse, 4 lists, 5 Gorse."""
    from benchmarks.cost.parts import GORSE, PARTS, Beside, measure

    parts = _chosen(only, PARTS)
    if GORSE in parts and gorse is None:
        typer.echo(f"part {GORSE} is left out: name Gorse's executable, --gorse PATH", err=True)
    _finish(measure(parts, Beside(before, gorse)), as_json)


@app.command()
def batch(
    as_json: Json = False,
    users: Annotated[int, typer.Option(min=1000, help="Users of the release.")] = 10_000,
    items: Annotated[int, typer.Option(min=1000, help="Items of the release.")] = 20_000,
) -> None:
    """Makes its own data: `winnow recommend --all` beside the same requests to the endpoint, in turn."""
    from benchmarks.cost.batch import measure

    _finish(measure(users, items), as_json)


@app.command()
def units(
    file: Annotated[Path, typer.Argument(help="The file to write, for `winnow plan --units FILE`.")],
    as_json: Json = False,
) -> None:
    """Measures the per-unit figures of `winnow plan` on this machine: memory, and CPU with the newest release."""
    from benchmarks.scale.units import measure

    _finish(measure(file), as_json)


def _chosen(only: str, parts: Collection[int]) -> set[int]:
    known = {str(number): number for number in parts}
    unknown = [number for number in only.split(",") if number not in known]
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is none of {', '.join(known)}", param_hint="--only")
    return {known[number] for number in only.split(",")}


def _add(name: str, module: str, about: str) -> None:
    def command(as_json: Json = False) -> None:
        # Imported on use: benchmarks import large libraries to compare with.
        _finish(importlib.import_module(f"benchmarks.{module}").measure(), as_json)

    app.command(name, help=about)(command)


def _finish(rows: list[Row], as_json: bool) -> None:
    render(rows, as_json)
    if any(row.holds is False for row in rows):
        raise typer.Exit(1)


for name, (module, about) in BENCHMARKS.items():
    _add(name, module, about)

if __name__ == "__main__":
    proxies.bypass_loopback()
    try:
        app()
    except WinnowError as error:
        typer.echo(str(error), err=True)
        raise SystemExit(error.exit_code) from None
