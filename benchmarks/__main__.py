"""``python -m benchmarks NAME [--json]``: exit code 1 when a target does not hold."""

import importlib
import sys
from typing import Annotated

import typer

from benchmarks.rows import Row, render
from winnow import proxies
from winnow.errors import WinnowError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)

Json = Annotated[bool, typer.Option("--json", help="Print the rows as a JSON list.")]

ONLINE = {
    "live": "Everything below that starts with an event or ends with an answer, one after the other.",
    "freshness": "Events and answers of two transformers in turn: stale answers, and what an acknowledgement costs.",
    "bloom": "False positives, lost items under concurrent writers, speed beside another library, bytes per user.",
    "fetch": "Features of 500 items from Redis: packed rows beside a hash per item.",
    "overload": "Three times the capacity for a minute: what is refused, what is answered, and how it ends.",
    "slow_clients": "500 clients that send slowly beside 20 honest ones: what these get, with and without them.",
    "failures": "Redis killed and slowed, the ranker, all of Triton and the sidecar gone, each under load.",
    "drain": "SIGTERM to one of two transformers under load: lost requests, seconds until it is gone.",
    "cluster": "A real Redis Cluster: the same answers, freshness, and a node that is killed.",
    "generated": "10,000 generated requests over every protocol: no 5xx, no hang, memory flat.",
    "skew": "Served features against recomputed ones; a changed definition is found and named.",
    "fresh": "From an item's acknowledgement to the first query that finds it and the first user who gets it.",
    "hostile": "200 hostile pictures and sounds: each refused by name, the server's memory as it was.",
    "autoscale": "The manifests' thresholds in a simulated spike and day: the objective, the cost, a wrong unit.",
}
"""Module of this folder -> what it measures. None has settings; nearly all serve the newest release, one simulates."""


@app.callback()
def choose() -> None:
    """Speed and quality, each against its target."""


@app.command()
def funnel(
    as_json: Json = False,
    requests: Annotated[int, typer.Option(min=20, help="Requests per connection and protocol.")] = 300,
) -> None:
    """End-to-end latency over gRPC and HTTP, stage by stage, against a floor measured in the same run."""
    from benchmarks.funnel import measure

    _finish(measure(requests), as_json)


@app.command()
def encoders(as_json: Json = False) -> None:
    """Parity, learning, cold items, throughput, incremental extraction, fresh items, hostile media."""
    from benchmarks.encoders import measure

    _finish(measure(show_progress=sys.stderr.isatty()), as_json)


def _add(name: str, about: str) -> None:
    def command(as_json: Json = False) -> None:
        # Imported when it is asked for: a benchmark's peers are heavy.
        _finish(importlib.import_module(f"benchmarks.{name}").measure(), as_json)

    app.command(name, help=about)(command)


def _finish(rows: list[Row], as_json: bool) -> None:
    render(rows, as_json)
    if any(row.holds is False for row in rows):
        raise typer.Exit(1)


for name, about in ONLINE.items():
    _add(name, about)

if __name__ == "__main__":
    proxies.bypass_loopback()
    try:
        app()
    except WinnowError as error:
        typer.echo(str(error), err=True)
        raise SystemExit(error.exit_code) from None
