"""``python -m benchmarks NAME [--json]``: exit code 1 when a target does not hold."""

import sys
from typing import Annotated

import typer

from benchmarks.rows import Row, render
from winnow.errors import WinnowError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)

Json = Annotated[bool, typer.Option("--json", help="Print the rows as a JSON list.")]


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
def hostile(as_json: Json = False) -> None:
    """200 hostile pictures and sounds: each refused by name, the server's memory as it was."""
    from benchmarks.hostile import measure

    _finish(measure(), as_json)


@app.command()
def fresh(as_json: Json = False) -> None:
    """From an item's acknowledgement to the first query that finds it and the first user who is recommended it."""
    from benchmarks.fresh import measure

    _finish(measure(), as_json)


@app.command()
def encoders(as_json: Json = False) -> None:
    """Parity, learning, cold items, throughput, incremental extraction, fresh items, hostile media."""
    from benchmarks.encoders import measure

    _finish(measure(show_progress=sys.stderr.isatty()), as_json)


@app.command()
def bloom(as_json: Json = False) -> None:
    """False positives, lost items under concurrent writers, speed beside another library, bytes per user."""
    from benchmarks.bloom import measure

    _finish(measure(), as_json)


@app.command()
def fetch(as_json: Json = False) -> None:
    """Features of 500 items from Redis: packed rows beside a hash per item."""
    from benchmarks.fetch import measure

    _finish(measure(), as_json)


def _finish(rows: list[Row], as_json: bool) -> None:
    render(rows, as_json)
    if any(row.holds is False for row in rows):
        raise typer.Exit(1)


if __name__ == "__main__":
    try:
        app()
    except WinnowError as error:
        typer.echo(str(error), err=True)
        raise SystemExit(error.exit_code) from None
