"""``winnow events report``: what came of the items that were shown."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from winnow import home, release
from winnow.cli.analysis.options import Log
from winnow.errors import WinnowError
from winnow.local.running_stack import redis_url

if TYPE_CHECKING:
    from winnow.evaluation.attribution.report import AttributedRow, Rate, Report

_GROUPS = ("source", "position", "release", "arm")


def report(
    log: Log = None,
    live: Annotated[
        bool, typer.Option("--live", help="Read the streams in REDIS_URL, or of the running stack, not an export.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Report clicks and conversions per shown item: by source, position, release and arm, with 95 % intervals.

    Counts the events that quote the `recommendation_id` of the answer that they follow from. A click is an event of
    positive value. An item that was shown once is clicked at most once, however many events quote it.
    """
    from winnow.evaluation.attribution import log as logs
    from winnow.evaluation.attribution.report import report as rates
    from winnow.evaluation.held_out import ANY, CONVERSION, types_of

    if live and log is not None:
        raise WinnowError("--live and --log name two logs: give one of them")
    newest = release.latest(home.releases())
    if newest is None:
        raise WinnowError(f"{home.releases()} has no release, which knows the event types: run `winnow build` first")
    found = logs.live(redis_url()) if live else logs.exported(log or str(home.events()))
    positive, conversions = (types_of(newest.schema, objective) for objective in (ANY, CONVERSION))
    result = rates(logs.attributed(found, positive, conversions))
    if as_json:
        groups = {name: [_document(row) for row in getattr(result, name)] for name in _GROUPS}
        document = {"total": _document(result.total), **groups, "left_out": result.notes}
        typer.echo(json.dumps(document, indent=1))
    else:
        _show(result)


def _document(row: "AttributedRow") -> dict[str, object]:
    return row._asdict() | {"clicks": row.clicks._asdict(), "conversions": row.conversions._asdict()}


def _show(result: "Report") -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for name, rows in (("", [result.total]), *((name, getattr(result, name)) for name in _GROUPS)):
        if not rows:
            continue
        columns = ("shown", "clicks", "rate", "95 % interval", "conversions", "rate", "95 % interval")
        table = Table(name, *columns, box=None, header_style="dim", pad_edge=False)
        for row in rows:
            table.add_row(row.name, f"{row.shown:,}", *_cells(row.clicks), *_cells(row.conversions))
        console.print(table)
        console.print()
    for note in result.notes:
        console.print(f"left out: {note}", style="dim", markup=False, highlight=False)


def _cells(rate: "Rate") -> tuple[str, str, str]:
    if rate.rate is None:
        return f"{rate.hits:,}", "", ""
    return f"{rate.hits:,}", f"{rate.rate:.2%}", f"{rate.low:.2%} to {rate.high:.2%}"
