"""``winnow experiment``: what the arms of an experiment earned."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from winnow import home, release
from winnow.cli.analysis.options import NO_CONCLUSION, Log, Objective
from winnow.errors import WinnowError
from winnow.settings.experiments import Experiment, read

if TYPE_CHECKING:
    from winnow.evaluation.experiments.report import ExperimentReport
    from winnow.evaluation.experiments.statistics import Interval

_STYLE: dict[str, Any] = {"box": None, "header_style": "dim", "pad_edge": False}
"""Of the tables."""

commands = typer.Typer(no_args_is_help=True, help="Experiments: users are assigned to arms, which are compared.")


@commands.callback()
def _group() -> None:
    """Without a callback, the only command would take the group's name."""


@commands.command()
def report(
    name: Annotated[str, typer.Argument(help="Name of the experiment.")],
    log: Log = None,
    objective: Objective = "any",
    experiments: Annotated[
        Path | None,
        typer.Option(
            help="The file that the experiment was served with. Default: experiments.yaml in WINNOW_HOME, where "
            "`winnow up --experiments` keeps it.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare the reward per user of each arm with that of the first arm.

    Serve with `winnow up --experiments FILE` and export with `winnow events export`. A user's reward is the value of
    the events that followed an impression of the experiment within their windows. The confidence of all intervals of
    the lift together is 95 %, if it was decided beforehand when to look: looking every day until an arm is ahead finds
    one ahead by chance. Exit code 3: there is no comparison, and the reasons are printed, such as numbers of users that
    do not fit the shares of the arms.
    """
    from winnow.evaluation.experiments import log as logs
    from winnow.evaluation.experiments.report import report as compared

    newest = release.latest(home.releases())
    if newest is None:
        raise WinnowError(f"{home.releases()} has no release, which knows the event types: run `winnow build` first")
    experiment = _declared(name, experiments or home.experiments(), newest.schema.events)
    found, notes = logs.read(log or str(home.events()), newest, experiment, objective)
    result = compared(found, [arm.share for arm in experiment.arms])
    if as_json:
        typer.echo(json.dumps(_document(name, objective, result, notes), indent=1))
    else:
        _show(name, objective, result, notes)
    if result.refusals:
        raise typer.Exit(NO_CONCLUSION)


def _declared(name: str, path: Path, events: tuple[str, ...]) -> Experiment:
    declared = {one.name: one for one in read(path, events).experiments}
    if name not in declared:
        raise WinnowError(
            f"{path}: declares no experiment {name!r}, but {', '.join(declared)}; name the file that it was served "
            "with (--experiments)"
        )
    return declared[name]


def _document(name: str, objective: str, result: "ExperimentReport", notes: list[str]) -> dict[str, Any]:
    """The result as JSON; ``comparisons`` is empty where there are ``refusals``."""
    return {
        "experiment": name,
        "objective": objective,
        **result._asdict(),
        "arms": [arm._asdict() | {"reward": arm.reward and arm.reward._asdict()} for arm in result.arms],
        "comparisons": [
            one._asdict() | {"difference": one.difference._asdict(), "lift": one.lift and one.lift._asdict()}
            for one in result.comparisons
        ],
        "left_out": notes,
    }


def _show(name: str, objective: str, result: "ExperimentReport", notes: list[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(f"experiment {name}: reward per user by objective {objective}", markup=False, highlight=False)
    arms = Table("arm", "share", "users", "requests", "reward", "95 % interval", **_STYLE)
    for arm in result.arms:
        counts = f"{arm.share:g}", f"{arm.users:,}", f"{arm.requests:,}"
        arms.add_row(arm.arm, *counts, *_cells(arm.reward, ".4f"))
    console.print(arms)
    if result.comparisons:
        compared = Table(f"against {result.arms[0].arm}", "lift", "95 % interval", "verdict", **_STYLE)
        for one in result.comparisons:
            compared.add_row(one.arm, *_cells(one.lift, "+.1%"), one.verdict)
        console.print()
        console.print(compared)
    console.print(
        f"sample ratio: p = {result.sample_ratio:.3g} that the shares of the arms give such numbers of users",
        style="dim",
        markup=False,
        highlight=False,
    )
    for note in notes:
        console.print(f"left out: {note}", style="dim", markup=False, highlight=False)
    if result.refusals:
        console.print("no comparison:", style="bold", markup=False)
    for refusal in result.refusals:
        console.print(f"- {refusal}", markup=False, highlight=False)


def _cells(one: "Interval | None", form: str) -> tuple[str, str]:
    return (f"{one.value:{form}}", f"{one.low:{form}} to {one.high:{form}}") if one else ("", "")
