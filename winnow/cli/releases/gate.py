"""``winnow gate``: judge whether a release may become live."""

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from winnow import home, release
from winnow.local.stack_state import Predictor

if TYPE_CHECKING:
    from winnow.evaluation.record import EvaluationRecord
    from winnow.lifecycle.gate import Check, Gate, Verdict
    from winnow.lifecycle.gate.requests import LoggedRequest
    from winnow.release import Release

REFUSED = 3
"""Exit code of a release that did not pass."""


def gate(
    number: Annotated[int, typer.Argument(help="The release to judge.", metavar="N")],
    rules: Annotated[
        Path | None,
        typer.Option(
            help="YAML file of what must hold; docs/gate.md lists every field. Default: gate.yaml in WINNOW_HOME, or "
            "the default of every field.",
            show_default=False,
        ),
    ] = None,
    predictor: Annotated[
        Predictor, typer.Option(help="What computes the models while the release is served for replay and load.")
    ] = "triton",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Judge whether release N may become live: its files, data, evaluation, answers and latency.

    Compares with the live release where there is one. First come the cheap checks: digests of all files, parity with
    PyTorch, feature schema, data, and the evaluation by `winnow evaluate`. If they pass, the release is served beside
    everything that runs, answers the newest logged requests, and then a load. All checks are printed and written to
    evaluations/N/gate.json in WINNOW_HOME; nothing else changes.

    Exit code 3: the release was refused; each failed check is named with its numbers. Exit code 2: the rules are wrong.
    """
    from winnow.datasets.profile import twin_of
    from winnow.lifecycle.gate import Gate, Serving, judge, write
    from winnow.lifecycle.live import live as pinned
    from winnow.settings.file import load

    root = home.home()
    path = rules or root / "gate.yaml"
    chosen = load(Gate, path) if rules is not None or path.exists() else Gate()
    candidate = _opened(number)
    pin = pinned(str(root))
    # The live release itself is judged as the first one was.
    pin = None if pin is not None and pin.release == number else pin
    live = None if pin is None else _opened(pin.release)
    twin = twin_of(candidate)
    record, missing = _record(candidate, twin, chosen, None if pin is None else pin.since)
    verdict = judge(
        candidate,
        record,
        live,
        chosen,
        evaluated=twin,
        unevaluated=missing,
        serving=Serving(_requests(candidate, chosen), predictor, show_progress=sys.stderr.isatty()),
    )
    place = write(root, verdict)
    if as_json:
        typer.echo(verdict.model_dump_json(indent=1))
    else:
        show(verdict, place)
    if not verdict.passed:
        raise typer.Exit(REFUSED)


def show(verdict: "Verdict", place: str) -> None:
    """Print a verdict as a table, then the failed checks in full."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    beside = "without a live release" if verdict.live is None else f"beside release {verdict.live}"
    console.print(f"release {verdict.release} {beside}", style="bold", highlight=False)
    table = Table("", "check", "value", "bound", "", box=None, header_style="dim", pad_edge=False)
    for check in verdict.checks:
        mark = "[green]pass[/green]" if check.passed else "[red]FAIL[/red]"
        value, bound = ("" if each is None else f"{each:.4g}" for each in (check.value, check.bound))
        table.add_row(mark, escape(check.name), value, bound, escape(check.message))
    console.print(table)
    if verdict.not_run:
        typer.echo(f"not run, because a check above failed: {', '.join(verdict.not_run)}")
    for check in verdict.failed:
        typer.echo(f"winnow: refused: {check.name}: {check.message}", err=True)
    typer.echo(f"{'passed' if verdict.passed else 'refused'}: {place}")


def _opened(number: int) -> "Release":
    return release.Release.open(home.releases() / str(number))


def _record(
    candidate: "Release", twin: "Release | None", rules: "Gate", since: datetime | None
) -> "tuple[EvaluationRecord | None, Check | None]":
    """The evaluation of a candidate, or the check in its place.

    Args:
        candidate: the release to judge.
        twin: the release that is evaluated in its place.
        rules: what must hold.
        since: when the live release became live; an earlier evaluation does not compare with it.

    Raises:
        WinnowError: the evaluation is of another version of Winnow.
    """
    from winnow.evaluation import record
    from winnow.lifecycle.gate import Check, metrics

    number = candidate.manifest.number
    if twin is None:
        message = (
            f"release {number} has not been evaluated: run `winnow evaluate {number}`, which builds a release of the "
        )
        message += "same data without the held-out events and measures that"
        return None, Check(name="metrics", passed=False, message=message)
    if not len(twin.array("holdout")):
        return None, metrics.unevaluated("no user has enough events for one to be held out", rules.metrics)
    root, evaluated = str(home.home()), twin.manifest.number
    if not record.is_written(root, evaluated):
        message = f"release {evaluated}, which was built like release {number} for evaluation, has not been evaluated: "
        return None, Check(name="metrics", passed=False, message=f"{message}run `winnow evaluate {number}`")
    written = Path(record.folder(root, evaluated), record.FILE).stat().st_mtime
    if since is not None and written < since.timestamp():
        message = (
            f"release {evaluated} was evaluated before the live release became live: run `winnow evaluate {number}`"
        )
        return None, Check(name="metrics", passed=False, message=message)
    return record.read(root, evaluated), None


def _requests(candidate: "Release", rules: "Gate") -> "list[LoggedRequest]":
    """The newest requests that the home's stack logged or that were exported; else sampled users."""
    from winnow.lifecycle.gate import logged, sampled
    from winnow.local.running_stack import known_redis_url

    count = rules.replay.requests
    return logged(str(home.events()), count, known_redis_url()) or sampled(candidate, count)
