"""``winnow items``: changes of the catalog that take effect without a build."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from winnow import home, release
from winnow.cli.options import Json
from winnow.errors import WinnowError
from winnow.local.running_stack import running

if TYPE_CHECKING:
    import httpx

    from winnow.release import Release

commands = typer.Typer(no_args_is_help=True, help="Items of the running release: added, changed, taken down, deleted.")

_ENDINGS = (".csv", ".parquet", ".jsonl", ".ndjson")
_LISTED = 50
"""Items that a table lists; of more, only their number is printed."""

File = Annotated[
    Path,
    typer.Argument(
        help="CSV, Parquet or JSON Lines file with the columns of the catalog. Relative image and audio paths start at "
        "the file's folder."
    ),
]
Ids = Annotated[list[str], typer.Argument(help="Ids of items, or one file with a column item_id.")]


@commands.command()
def add(file: File, as_json: Json = False) -> None:
    """Add items to the running release, or change those that it has: recommended and found at once.

    The whole file is validated before any item is sent. Columns that the file lacks, and empty cells, keep their value.
    """
    _upsert(file, as_json, clear_empty=False)


@commands.command("set")
def set_(
    file: File,
    clear_empty: Annotated[
        bool, typer.Option("--clear-empty", help="An empty cell clears the column; by default the value stays.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Change columns of items, such as prices: a file with item_id and the columns to change."""
    _upsert(file, as_json, clear_empty)


@commands.command()
def disable(ids: Ids, as_json: Json = False) -> None:
    """Take items down: they are not shown until they are enabled."""
    _act("disable", ids, as_json)


@commands.command()
def enable(ids: Ids, as_json: Json = False) -> None:
    """Make items available again."""
    _act("enable", ids, as_json)


@commands.command()
def delete(ids: Ids, as_json: Json = False) -> None:
    """Delete items: they never appear again, in later builds neither, unless they are added again."""
    _act("delete", ids, as_json)


@commands.command()
def show(ids: Ids, as_json: Json = False) -> None:
    """Print items as they are now: their state and their columns."""
    _act("read", ids, as_json)


def _upsert(file: Path, as_json: bool, clear_empty: bool) -> None:
    from winnow.cli import new_items
    from winnow.cli import show as printing

    with _connected() as (endpoint, served):
        rows = new_items.read(file, served, clear_empty)
        added = new_items.add(endpoint, file, rows, show_progress=sys.stderr.isatty())
    if as_json:
        typer.echo(json.dumps(added, indent=1))
    elif len(added) <= _LISTED:
        printing.added(added, rows, served)
    else:
        changed = sum(answer["changed"] for answer in added)
        typer.echo(f"{len(added):,} items sent to release {served.manifest.number}, {changed:,} of them changed")


def _act(action: str, ids: list[str], as_json: bool) -> None:
    from winnow import protocols
    from winnow.cli.catalog.sending import Interrupted, chunks, send
    from winnow.request import MAX_INSTANCES

    instances = [{"item_id": item_id, "action": action} for item_id in _ids(ids)]
    with _connected() as (endpoint, _):
        try:
            answers = send(
                chunks(instances, MAX_INSTANCES),
                lambda batch: protocols.add_items(endpoint, list(batch)),
                len(instances),
                f"{action} items",
                sys.stderr.isatty(),
            )
        except Interrupted as error:
            raise WinnowError(f"{error.reason}\n{error.done} of {len(instances)} items were done") from error
    if as_json:
        typer.echo(json.dumps(answers, indent=1))
        return
    if action == "read" or len(answers) <= _LISTED:
        for answer in answers:
            typer.echo(_line(answer))
    if action != "read":
        typer.echo(f"{sum(answer['changed'] for answer in answers):,} of {len(answers):,} items changed")


def _line(answer: dict[str, Any]) -> str:
    document = answer.get("document")
    return f"{answer['item_id']}: {answer['state']}" + (
        f" {json.dumps(document, ensure_ascii=False)}" if document else ""
    )


def _ids(given: list[str]) -> list[str]:
    """The ids of arguments, each once, or those of a file."""
    [first, *others] = given
    if others or not first.endswith(_ENDINGS) or not Path(first).is_file():
        return list(dict.fromkeys(given))
    from winnow.cli import new_items

    return new_items.ids(Path(first))


@contextmanager
def _connected() -> "Iterator[tuple[httpx.Client, Release]]":
    from winnow import protocols

    state = running()
    served = release.Release.open(home.releases() / str(state.release))
    with protocols.http(state.ports.http, state.reached) as endpoint:
        yield endpoint, served
