"""``winnow access``: API keys for an endpoint with access control."""

from typing import Annotated

import typer
import yaml

from winnow.settings import access
from winnow.settings.file import parse

commands = typer.Typer(no_args_is_help=True, help="API keys, for an endpoint that is served with --access.")


@commands.callback()
def _group() -> None:
    """Keeps `new` a subcommand while it is the only one."""


@commands.command()
def new(
    name: Annotated[str, typer.Argument(help="Who gets the key; shown in metrics.")],
    scopes: Annotated[
        str,
        typer.Option(
            help="What it may do, separated by commas: recommend; events; catalog (items, users' attributes); "
            "admin (erase, merge, rules). None includes another."
        ),
    ],
    expires: Annotated[
        str | None, typer.Option(help="Date from which it is refused, such as 2027-01-31.", show_default=False)
    ] = None,
    rate: Annotated[
        str | None, typer.Option(help="Most calls, as 100/s or 600/min. Default: no limit.", show_default=False)
    ] = None,
    burst: Annotated[
        int | None, typer.Option(help="Calls at once. Default: what one second brings.", show_default=False)
    ] = None,
) -> None:
    """Print a new key, once, and the entry for the file of `winnow up --access`, which has its hash only."""
    key = access.new_key()
    entry = {
        "name": name,
        "hash": access.hash_of(key),
        "scopes": [scope.strip() for scope in scopes.split(",")],
        "expires": expires,
        "rate": rate,
        "burst": burst,
    }
    text = yaml.safe_dump([{field: value for field, value in entry.items() if value is not None}], sort_keys=False)
    parse(access.AccessFile, f"keys:\n{text}", "the new key")
    typer.echo(f"{key}\n")
    typer.echo("This key is shown once: give it to its user. The entry for the list `keys` of the file:\n")
    typer.echo(text, nl=False)
