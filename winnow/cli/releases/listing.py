"""``winnow releases``: the releases of the home, and the removal of old ones."""

import json
from contextlib import suppress
from typing import Annotated

import typer

from winnow import home
from winnow.cli.releases.promote import changing
from winnow.errors import WinnowError
from winnow.lifecycle import collection
from winnow.lifecycle import verdict as verdicts
from winnow.lifecycle.collection import KEEP
from winnow.lifecycle.live import live


def releases(
    collect: Annotated[bool, typer.Option("--collect", help="Remove the releases that are shown as old.")] = False,
    keep: Annotated[
        int, typer.Option(min=1, help="How many of the newest to keep, for serving and for evaluation each.")
    ] = KEEP,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the releases: when each was built and from what, its size, its state, and the gate's verdict.

    The state is live, previous (where `winnow rollback` goes), served, warm (it still runs after a promotion) or old:
    none of these, and not among the newest. --collect removes the old ones with their models, evaluations and, where
    the stack runs, their keys in its Redis, and shows the space that is free then. The size is what the removal of the
    release frees.
    """
    from winnow.local import stack_state

    root = str(home.home())
    with changing():
        found, pin, stack = collection.stored(root), live(root), stack_state.running()
        named = {
            "live": None if pin is None else pin.release,
            "previous": None if pin is None else pin.previous,
            "served": None if stack is None else stack.release,
            "warm": None if stack is None else stack.warm,
        }
        running = [number for word, number in named.items() if word in ("served", "warm") and number is not None]
        old = collection.collectable(found, pin, running, keep)
        rows: list[dict[str, object]] = [
            {
                "release": release.number,
                "built": release.manifest.created_at.isoformat(),
                "data": release.manifest.dataset,
                "holdout": release.manifest.holdout,
                "bytes": release.size,
                "state": [word for word, number in named.items() if number == release.number]
                + (["old"] if release in old else []),
                "gate": _verdict(root, release.number),
            }
            for release in found
        ]
        removed = [_removed(root, release, runs=stack is not None) for release in old] if collect else []
    freed = sum(release.size for release in removed)
    if as_json:
        typer.echo(
            json.dumps({"releases": rows, "removed": [each.number for each in removed], "freed": freed}, indent=1)
        )
        return
    _show(rows)
    if collect:
        typer.echo(f"removed {len(removed)} releases: {freed / 1e6:,.1f} MB are free")


def _removed(root: str, release: collection.Stored, runs: bool) -> collection.Stored:
    """Remove a release, from the stack's Redis too."""
    if runs:
        from winnow.local import running_stack
        from winnow.store.publish import remove

        # Not every release was served.
        with suppress(WinnowError):
            remove(release.number, running_stack.redis_url())
    collection.remove(root, release.number)
    return release


def _verdict(root: str, number: int) -> str:
    """What the gate said of a release; empty where it was not asked."""
    try:
        verdict = verdicts.read(root, number)
    except WinnowError:
        return "of another version"
    return "" if verdict is None else "passed" if verdict.passed else "refused"


def _show(rows: list[dict[str, object]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("release", "built", "data", "hold-out", "MB", "state", "gate", box=None, header_style="dim")
    for row in rows:
        built = str(row["built"])[:16].replace("T", " ")
        megabytes = f"{float(str(row['bytes'])) / 1e6:,.1f}"
        words = row["state"]
        assert isinstance(words, list)
        table.add_row(
            str(row["release"]),
            built,
            escape(str(row["data"])),
            str(row["holdout"]),
            megabytes,
            ", ".join(words),
            str(row["gate"]),
        )
    Console().print(table)
