"""``winnow off-policy``: what a release would have earned on logged requests."""

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from winnow import home, release
from winnow.cli.analysis.options import NO_CONCLUSION, Log, Objective
from winnow.local.stack_state import Predictor

if TYPE_CHECKING:
    from winnow.evaluation.off_policy.intervals import Interval
    from winnow.evaluation.off_policy.report import OffPolicy


def off_policy(
    number: Annotated[int, typer.Argument(help="Number of the release to evaluate.", metavar="RELEASE")],
    log: Log = None,
    objective: Objective = "any",
    predictor: Annotated[
        Predictor, typer.Option(help="What computes the models: Triton, or ONNX Runtime in the transformer.")
    ] = "triton",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Estimate what a release would have earned, from impressions of another one that were logged with exploration.

    Serve with `winnow up --explore 0.05` and export with `winnow events export`. The release must be older than the
    logged requests, because it must not have learned what came of them. It is served by a stack of its own, and each
    request is repeated with the user's history of then. Estimates are per request: inverse propensity scoring (ips),
    self-normalised (snips) and doubly robust (dr), with 95 % intervals. They assume that what a slot earns depends on
    item and position, not on the rest of the list. Exit code 3: the log says too little, and the reasons are printed.
    """
    from winnow.evaluation.off_policy.report import evaluate_release

    candidate = release.Release.open(home.releases() / str(number))
    found, notes = evaluate_release(
        candidate, log or str(home.events()), objective, predictor, show_progress=sys.stderr.isatty()
    )
    if as_json:
        typer.echo(json.dumps(_document(number, objective, found, notes), indent=1))
    else:
        _show(number, objective, found, notes)
    if found.support.refusals:
        raise typer.Exit(NO_CONCLUSION)


def _document(number: int, objective: str, found: "OffPolicy", notes: list[str]) -> dict[str, Any]:
    """The result as JSON; ``estimates`` is empty where ``support`` has ``refusals``."""
    return {
        "release": number,
        "objective": objective,
        **found._asdict(),
        "logged": found.logged._asdict(),
        "estimates": {name: one._asdict() for name, one in found.estimates.items()},
        "support": {**found.support._asdict(), "covered": found.support.covered._asdict()},
        "left_out": notes,
    }


def _show(number: int, objective: str, found: "OffPolicy", notes: list[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    console, support = Console(), found.support
    console.print(
        f"value per request by objective {objective}: {found.requests:,} requests of {found.users:,} users",
        markup=False,
    )
    table = Table("", "value", "95 % interval", box=None, header_style="dim", pad_edge=False)
    table.add_row("logged lists", *_cells(found.logged))
    for name, one in found.estimates.items():
        table.add_row(f"release {number}, {name}", *_cells(one))
    console.print(table)
    console.print(
        f"support: {support.effective_slots:,.0f} effective slots, {support.effective_rewards:,.1f} effective rewards, "
        f"largest weight {support.largest_weight:,.0f} ({support.largest_share:.1%} of all), "
        f"{support.covered.value:.0%} of the policy's slots",
        style="dim",
        markup=False,
        highlight=False,
    )
    for note in notes:
        console.print(f"left out: {note}", style="dim", markup=False, highlight=False)
    if support.refusals:
        console.print(f"no conclusion about release {number}:", style="bold", markup=False)
    for refusal in support.refusals:
        console.print(f"- {refusal}", markup=False, highlight=False)


def _cells(one: "Interval") -> tuple[str, str]:
    return f"{one.value:.4f}", f"{one.low:.4f} to {one.high:.4f}"
