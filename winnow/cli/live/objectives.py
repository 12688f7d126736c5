"""``winnow objectives``: what the running stack orders recommendations by."""

import json
from collections.abc import Sequence
from typing import Annotated, TypedDict

import typer

from winnow import fields, release
from winnow.cli.options import Json, ReleaseDir
from winnow.errors import WinnowError
from winnow.local.running_stack import redis_url, release_folder


class Objective(TypedDict):
    """The weight of one event type: the release's, the live one if there is one, and the one in force."""

    type: str
    release: float
    live: float | None
    weight: float


def objectives(
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="TYPE=WEIGHT", help="Set a live weight. Repeatable.", show_default=False),
    ] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Remove all live weights, before any --set.")] = False,
    release_dir: ReleaseDir = None,
    as_json: Json = False,
) -> None:
    """Show or change the weights of the event types, by which the running stack orders recommendations.

    A live weight replaces the release's, which is the type's value in dataset.yaml, within five seconds and until it is
    removed; a request's `objectives` replace both.
    """
    from winnow.store import objectives as live
    from winnow.store.connection import connect

    served = release.Release.open(release_folder(release_dir))
    number, types = served.manifest.number, served.schema.events
    weights = parsed(changes or (), types)
    with connect(redis_url()) as client:
        if reset:
            live.reset(client, number)
        if weights:
            live.write(client, number, weights)
        held = live.read(client, number, types)
    shown = [
        Objective(type=kind, release=value, live=held.get(kind), weight=held.get(kind, value))
        for kind, value in zip(types, served.schema.event_values, strict=True)
    ]
    if as_json:
        typer.echo(json.dumps(shown, indent=1))
    else:
        _show(number, shown)


def parsed(given: Sequence[str], types: Sequence[str] | None = None) -> dict[str, float]:
    """Event type -> weight, from texts such as ``purchase=20``; of one type that is given twice, the last counts.

    Args:
        given: the texts.
        types: the event types of the release; without them the endpoint checks the names.

    Raises:
        WinnowError: a text has another form, its type is not the release's, or its weight is out of bounds.
    """
    weights: dict[str, float] = {}
    for text in given:
        kind, separator, number = text.rpartition("=")
        try:
            weight = float(number)
        except ValueError:
            separator, weight = "", 0.0
        if not separator or not kind:
            raise WinnowError(f"{text!r} is not of the form TYPE=WEIGHT, such as purchase=20")
        if not fields.is_weight(weight):
            raise WinnowError(f"{text!r}: the weight must be {fields.WEIGHT}")
        if types is not None and kind not in types:
            raise WinnowError(f"{kind!r} is not an event type of the release; its types are {', '.join(types)}")
        weights[kind] = weight
    return weights


def _show(number: int, shown: Sequence[Objective]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("event type", "release", "live", "in force", box=None, header_style="dim")
    for one in shown:
        live = "" if one["live"] is None else f"{one['live']:g}"
        table.add_row(one["type"], f"{one['release']:g}", live, f"{one['weight']:g}")
    console = Console()
    console.print(f"release {number}")
    console.print(table)
