"""``winnow rules``: the business rules of the running stack."""

import getpass
import json
from pathlib import Path
from typing import Annotated, TypedDict

import typer

from winnow import release
from winnow.cli.options import Json, ReleaseDir
from winnow.local.running_stack import redis_url, release_folder

commands = typer.Typer(no_args_is_help=True, help="Show or change the business rules of the running stack.")

Replaced = Annotated[
    int | None,
    typer.Option(
        "--version",
        min=1,
        metavar="N",
        help="The version of the live rules that is replaced, from `winnow rules show`. Needed while there are live "
        "rules.",
        show_default=False,
    ),
]


class Shown(TypedDict):
    """The rules in force.

    ``version`` counts the changes of the live rules; ``live`` says whether they are in force, or those of the release.
    """

    version: int
    live: bool
    by: str
    at: int
    rules: dict[str, object]


@commands.command()
def show(release_dir: ReleaseDir = None, as_json: Json = False) -> None:
    """Print the rules in force as YAML, with their version, who made them and when."""
    import yaml

    from winnow.settings.business_rules import FILE, Rules
    from winnow.settings.file import changed, parse
    from winnow.store.business import rules as live
    from winnow.store.connection import connect

    served = release.Release.open(release_folder(release_dir))
    with connect(redis_url()) as client:
        held = live.read(client)
    of_release = (served.folder / FILE).read_text() if FILE in served.manifest.files else ""
    origin = f"version {held.version}" if held.rules else f"{served.folder / FILE}"
    rules = json.loads(changed(parse(Rules, held.rules or of_release, origin)) or "{}")
    if as_json:
        shown = Shown(version=held.version, live=bool(held.rules), by=held.by, at=held.at, rules=rules)
        typer.echo(json.dumps(shown, indent=1, ensure_ascii=False))
        return
    typer.echo(f"# {held if held.rules else f'the rules of release {served.manifest.number}; {held}'}")
    if rules:
        typer.echo(yaml.safe_dump(rules, sort_keys=False, allow_unicode=True).rstrip())


@commands.command("set")
def set_rules(
    file: Annotated[Path, typer.Argument(help="YAML file of rules; docs/rules.md lists every field.")],
    version: Replaced = None,
    release_dir: ReleaseDir = None,
) -> None:
    """Put the rules of a file in force, in place of all rules in force, in every process within a second.

    They are checked against the columns of the running release first. Exit code 2: the file is wrong; each fault is
    named with its field, and nothing changes.
    """
    from winnow.items.columns import ItemColumns
    from winnow.rules.compiled import CompiledRules
    from winnow.settings.business_rules import Rules
    from winnow.settings.file import load

    served = release.Release.open(release_folder(release_dir))
    rules = load(Rules, file)
    CompiledRules.of(rules, ItemColumns.of(served), str(file))
    _write(rules.model_dump_json(exclude_defaults=True), version)


@commands.command()
def reset(version: Replaced = None) -> None:
    """Remove the live rules: those that the release was built with apply again."""
    _write("", version)


def _write(rules: str, replaces: int | None) -> None:
    from winnow.store.business import rules as live
    from winnow.store.connection import connect

    with connect(redis_url()) as client:
        written = live.write(client, rules, getpass.getuser(), replaces)
    typer.echo(f"version {written}")
