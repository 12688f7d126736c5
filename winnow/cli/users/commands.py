"""``winnow users``: show, change, merge and erase users of the running stack."""

import json
import sys
from typing import Annotated, Any

import typer

from winnow import home
from winnow.errors import WinnowError
from winnow.local.running_stack import redis_url, running

commands = typer.Typer(
    no_args_is_help=True, help="Users: their attributes, history and filters; merging two ids, and erasing a person."
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
UserId = Annotated[str, typer.Argument(help="Id of the user.")]


@commands.command()
def show(
    user_id: UserId,
    newest: Annotated[int, typer.Option("--events", min=1, max=200, help="Number of events of the history.")] = 20,
    as_json: Json = False,
) -> None:
    """Show what a recommendation for a user starts from: attributes, history, filters."""
    found = _call({"user_id": user_id, "action": "read", "n": newest})
    if as_json:
        typer.echo(json.dumps(found, indent=1, ensure_ascii=False))
        return
    if not found["known"]:
        typer.echo(f"{user_id} is not known: recommendations are those of a newcomer")
        return
    for name, value in found["attributes"].items():
        typer.echo(f"{name}: {'-' if value is None else value}")
    seen = found["filters"]["seen"]
    if seen and "items" in seen:
        rate = seen["false_positive_rate"]
        typer.echo(f"seen filter: {seen['items']} items, {seen['bits_set']} of {seen['bits']} bits, {rate:.2%} false")
    typer.echo(f"newest {len(found['history'])} events:")
    for event in found["history"]:
        typer.echo(f"  {event['timestamp']}  {event['event']}  {event['item_id']}")


@commands.command("set")
def set_attributes(
    user_id: UserId,
    changes: Annotated[
        list[str],
        typer.Argument(
            metavar="COLUMN=VALUE...",
            help="A declared column and its value as JSON or plain text; an empty value clears it.",
        ),
    ],
) -> None:
    """Change attributes of a user, or add a user; they take effect at once and in the next build."""
    _call({"user_id": user_id, "attributes": parsed(changes)})
    typer.echo(f"changed {user_id}")


@commands.command()
def merge(
    user_id: UserId,
    into: Annotated[str, typer.Argument(help="Id of the user that has all events afterwards.")],
) -> None:
    """Merge a user into another: histories and filters are united, and the first id is gone."""
    _call({"user_id": user_id, "action": "merge", "into": into})
    typer.echo(f"merged {user_id} into {into}; for 30 days, new events of the former count for the latter")


@commands.command()
def erase(
    user_id: UserId,
    exports: Annotated[
        str | None,
        typer.Option(help="Folder of `winnow events export`. Default: events/ in WINNOW_HOME.", show_default=False),
    ] = None,
) -> None:
    """Erase a person from Redis, the streams and the exports, and print the proof, which does not name them.

    Reads REDIS_URL, or else the running stack's Redis. The next builds leave the person out, from the exported
    user_changes/ beside the data. Repeat it after an interruption. docs/people.md lists what it cannot reach.
    """
    from winnow.feedback.erased_person import erase_person

    proof = erase_person(redis_url(), user_id, exports or str(home.events()), show_progress=sys.stderr.isatty())
    typer.echo(json.dumps(proof, indent=1))


@commands.command()
def clean(
    exports: Annotated[
        str | None,
        typer.Argument(help="Folder of `winnow events export`. Default: events/ in WINNOW_HOME.", show_default=False),
    ] = None,
) -> None:
    """Remove the rows of all erased users from the exports, after erasures by the endpoint."""
    from winnow.feedback.erased_exports import erase_from_exports
    from winnow.store.connection import connect

    folder = exports or str(home.events())
    with connect(redis_url()) as client:
        done = erase_from_exports(client, folder)
    typer.echo(f"removed {done.rows} rows from {done.rewritten} of {done.files} files in {folder}")


@commands.command()
def proofs() -> None:
    """Print the proofs of all erasures, as JSON; none of them names a person."""
    from winnow.store.connection import connect
    from winnow.users import erase

    with connect(redis_url()) as client:
        typer.echo(json.dumps(erase.proofs(client), indent=1))


def parsed(changes: list[str]) -> dict[str, Any]:
    """Column -> value, from texts such as ``country=pt``, ``age=34`` and ``interests=["books","games"]``.

    Raises:
        WinnowError: a text has another form.
    """
    values: dict[str, Any] = {}
    for text in changes:
        name, separator, value = text.partition("=")
        if not name or not separator:
            raise WinnowError(f"{text!r} is not of the form COLUMN=VALUE, such as country=pt")
        try:
            values[name] = json.loads(value) if value else None
        except ValueError:
            values[name] = value
    return values


def _call(instance: dict[str, Any]) -> dict[str, Any]:
    from winnow import protocols

    state = running()
    with protocols.http(state.ports.http, state.reached) as endpoint:
        return protocols.call_users(endpoint, [instance])[0]
