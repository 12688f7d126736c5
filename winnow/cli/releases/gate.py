"""``winnow gate``: judge whether a release may become live."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from winnow import home, release
from winnow.errors import WinnowError
from winnow.local.predictor import Predictor

if TYPE_CHECKING:
    from winnow.evaluation.record import EvaluationRecord
    from winnow.lifecycle.gate import Gate, Verdict
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
    from winnow.lifecycle.gate import Gate, Serving, judge, write
    from winnow.lifecycle.live import live as pinned
    from winnow.settings.file import load

    root = home.home()
    path = rules or root / "gate.yaml"
    chosen = load(Gate, path) if rules is not None or path.exists() else Gate()
    candidate = _opened(number)
    pin = pinned(str(root))
    live = None if pin is None or pin.release == number else _opened(pin.release)
    twin, reason = _evaluated(candidate)
    record = None if reason else _record(twin, candidate)
    show_progress = sys.stderr.isatty()
    verdict = judge(
        candidate,
        record,
        live,
        chosen,
        evaluated=twin,
        unevaluated=reason,
        serving=Serving(_requests(candidate, chosen), predictor, show_progress),
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


def _evaluated(candidate: "Release") -> tuple["Release", str]:
    """The release that is evaluated in place of a candidate, and why no user of it can be; empty where some can.

    Raises:
        WinnowError: there is no such release.
    """
    from winnow.datasets.profile import profile_of

    if candidate.manifest.holdout == "last":
        twin = candidate
    else:
        opened = map(_opened, reversed(release.numbers(home.releases())))
        same = (one for one in opened if one.manifest.holdout == "last" and profile_of(one) == profile_of(candidate))
        found = next((one for one in same if one.manifest.source.is_like(candidate.manifest.source)), None)
        if found is None:
            raise WinnowError(
                f"no release was built from the data of release {candidate.manifest.number} without its held-out "
                "events: run `winnow build --holdout last` with the same options, then `winnow evaluate`"
            )
        twin = found
    return twin, "" if len(twin.array("holdout")) else "no user has enough events for one to be held out"


def _record(twin: "Release", candidate: "Release") -> "EvaluationRecord":
    """The evaluation of a release.

    Raises:
        WinnowError: it was not evaluated, or the file is of another version.
    """
    from pydantic import ValidationError

    from winnow.evaluation.record import FILE, EvaluationRecord

    number = twin.manifest.number
    path = home.home() / "evaluations" / str(number) / FILE
    try:
        return EvaluationRecord.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        of = "" if twin is candidate else f", which was built like release {candidate.manifest.number}"
        raise WinnowError(f"release {number}{of}, has not been evaluated: run `winnow evaluate`") from None
    except ValidationError as error:
        raise WinnowError(
            f"{path} is not an evaluation of this version ({error.error_count()} fields): run `winnow evaluate` again"
        ) from error


def _requests(candidate: "Release", rules: "Gate") -> "list[LoggedRequest]":
    """The newest requests that the home's stack logged or that were exported; else sampled users."""
    from winnow.lifecycle.gate import logged, sampled
    from winnow.local import redis, stack_state

    running, count = stack_state.running(), rules.replay.requests
    url = os.environ.get("REDIS_URL") or (redis.url(running.ports.redis) if running else None)
    return logged(str(home.events()), count, url) or sampled(candidate, count)
