"""``winnow trigger``: start a retraining when it is time for one."""

import json
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from winnow import home
from winnow.errors import WinnowError

if TYPE_CHECKING:
    from winnow.feedback.since import NewEvents
    from winnow.lifecycle.trigger.baseline import Baseline
    from winnow.lifecycle.trigger.decision import Rule
    from winnow.lifecycle.trigger.pause import Start, Starts
    from winnow.lifecycle.trigger.rules import TriggerRules
    from winnow.release import BuildInputs

DUE = 4
"""Exit code of a dry run where a run would have been started."""


def trigger(
    rules: Annotated[
        Path | None,
        typer.Option(
            help="YAML file of the rules; docs/retraining.md lists every field. Default: trigger.yaml in WINNOW_HOME, "
            "or the default of every field.",
            show_default=False,
        ),
    ] = None,
    exports: Annotated[
        str | None,
        typer.Option(
            help="What `winnow events export` writes to, a folder or s3://. Default: the live release's data where "
            "that is on S3, else events/ in WINNOW_HOME.",
            show_default=False,
        ),
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(
            help="Address of Kubeflow Pipelines' API, to start the uploaded pipeline `retraining` there. Default: "
            "`winnow build` on this machine.",
            show_default=False,
        ),
    ] = None,
    cluster_home: Annotated[
        str | None,
        typer.Option(
            "--home",
            help="With --endpoint: the s3:// home of the releases.",
            show_default=False,
        ),
    ] = None,
    experiment: Annotated[str, typer.Option(help="With --endpoint: the experiment of the run.")] = "trigger",
    incremental: Annotated[
        bool,
        typer.Option(
            "--incremental",
            help="Build with `--from` the live release, which takes a fraction of the time; not with --endpoint.",
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say whether it is time, and start nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Start a retraining if the live release is old, many events are new, or they are distributed differently.

    Compares the live release with the events since its data ended, in the stream in REDIS_URL, or else in the running
    stack's Redis, and in the exports. Prints every rule with its value and bound. If one fired, a run starts with the
    inputs of the live release: `winnow build`, or with --endpoint a run of the pipeline `retraining`. None starts while
    another one runs, nor before pause_hours have passed since the last. A release that was built becomes live with
    `winnow promote`; the pipeline promotes it by itself.

    Exit code 0: nothing was due, a run was started (`winnow build` is waited for), or one runs already. Exit code 4:
    with --dry-run, a run would be started. Exit code 2: the rules are wrong. Exit code 1, or that of `winnow build`: it
    failed.
    """
    from winnow.lifecycle.trigger.baseline import Baseline
    from winnow.lifecycle.trigger.decision import decide
    from winnow.lifecycle.trigger.pause import Start, Starts
    from winnow.lifecycle.trigger.rules import TriggerRules
    from winnow.settings.file import load

    if (endpoint is None) != (cluster_home is None):
        raise WinnowError("--endpoint and --home belong together: a pipeline writes its releases to a home on S3")
    if cluster_home is not None and not cluster_home.startswith("s3://"):
        raise WinnowError(
            f"--home must be an s3:// address, which the pods of a pipeline can reach; got {cluster_home}"
        )
    if incremental and endpoint is not None:
        raise WinnowError("--incremental is for builds on this machine: the pipeline `retraining` builds in full")
    path = rules or home.home() / "trigger.yaml"
    chosen = load(TriggerRules, path) if rules is not None or path.exists() else TriggerRules()
    place = cluster_home or str(home.home())
    baseline, now = Baseline.of(place), datetime.now(UTC)
    applied = decide(baseline, _events(baseline, exports), chosen, now)
    starts = Starts(place)
    fired = tuple(rule.name for rule in applied if rule.fired)
    waits = _waits(starts, chosen, now) if fired else ""
    if as_json:
        described = {"release": baseline.manifest.number, "due": bool(fired and not waits), "waits": waits}
        typer.echo(json.dumps(described | {"rules": [rule.model_dump() for rule in applied]}, indent=1))
    else:
        _show(applied, baseline.manifest.number)
    say = partial(typer.echo, err=as_json)
    if not fired or waits:
        say(waits or "nothing is due")
        return
    say(f"due: {', '.join(fired)}")
    if dry_run:
        raise typer.Exit(DUE)
    start, cluster = Start(at=now, fired=fired), (endpoint, place, experiment) if endpoint else None
    say(_start(baseline.inputs(incremental), starts, start, cluster))


def _events(baseline: "Baseline", exports: str | None) -> "NewEvents | None":
    from winnow.feedback.since import new_events
    from winnow.lifecycle.trigger.decision import COMPARED
    from winnow.local.running_stack import known_redis_url
    from winnow.store.connection import connect

    data = baseline.manifest.source.data
    folder = exports or (data if data.startswith("s3://") else str(home.events()))
    url = known_redis_url()
    with connect(url) if url else nullcontext() as client:
        return new_events(baseline.ended, client, folder, COMPARED)


def _waits(starts: "Starts", rules: "TriggerRules", now: datetime) -> str:
    """Why no run may start yet; empty where one may."""
    hours = starts.hours_since(now)
    if hours is None or hours >= rules.pause_hours:
        return ""
    return f"a run was started {hours:,.1f} hours ago; the next one may start after {rules.pause_hours:g} (pause_hours)"


def _start(source: "BuildInputs", starts: "Starts", start: "Start", cluster: tuple[str, str, str] | None) -> str:
    """Start the run, unless another one runs; returns what happened, for the user.

    Args:
        source: the inputs of the run.
        starts: where the start is recorded.
        start: what is recorded.
        cluster: endpoint, home and experiment of a run on Kubeflow; ``None`` builds on this machine.

    Raises:
        WinnowError: the run cannot be started, or the build failed.
    """
    from winnow.lifecycle.trigger.cluster import start_run
    from winnow.local.build import build_release, is_running

    if cluster is None and is_running():
        return f"a build runs already in {home.home()}: none was started"
    if not starts.record(start):
        return "another trigger started a run at the same time: none was started"
    if cluster is None:
        number = build_release(source, "none")
        return f"built release {number}: `winnow promote {number}` makes it live"
    endpoint, place, experiment = cluster
    try:
        run, unfinished = start_run(endpoint, experiment, source.model_dump(exclude={"from_release"}) | {"home": place})
    except BaseException:
        starts.forget()
        raise
    if run is None:
        starts.forget()
        return f"the run {unfinished!r} of {place} has not ended: none was started"
    return f"started run {run}"


def _show(rules: "Sequence[Rule]", number: int) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    console.print(f"release {number} is live", style="bold", highlight=False)
    table = Table("", "rule", "value", "bound", "", box=None, header_style="dim", pad_edge=False)
    for rule in rules:
        mark = "[yellow]fired[/yellow]" if rule.fired else ""
        value = "" if rule.value is None else f"{rule.value:.4g}"
        table.add_row(mark, escape(rule.name), value, f"{rule.bound:.4g}", escape(rule.message))
    console.print(table)
