"""The ``winnow`` command."""

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from winnow import home, proxies, release, settings_file
from winnow.cli import events as event_commands
from winnow.cli import filters as filter_commands
from winnow.cli import items as item_commands
from winnow.cli.running import Json, running
from winnow.cli.skew import skew
from winnow.errors import WinnowError, as_winnow_error

commands = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A multistage, multimodal recommender. State lives under WINNOW_HOME (default: .winnow).",
)

Data = Annotated[
    str | None,
    typer.Option(
        help="Your data: a folder of Parquet or CSV with dataset.yaml, a folder of RecBole atomic files, s3:// or "
        "glue://. Without it, the demo marketplace is generated.",
        show_default=False,
    ),
]
PortBase = Annotated[int, typer.Option(help="First of the seven ports of this stack.")]
Host = Annotated[
    str,
    typer.Option(
        help="The address that HTTP and gRPC listen on: 127.0.0.1 is this machine alone, 0.0.0.0 every network that it "
        "is on. Who reaches them may ask for any user and write events and items without a key."
    ),
]
Items = Annotated[int, typer.Option(min=50, help="Items of the demo marketplace.")]
Users = Annotated[int, typer.Option(min=50, help="Users of the demo marketplace.")]
Events = Annotated[int, typer.Option(min=1000, help="Events of the demo marketplace.")]
DEFAULTS = release.BuildInputs()
commands.add_typer(item_commands.commands, name="items")
commands.add_typer(event_commands.commands, name="events")
commands.add_typer(filter_commands.commands, name="filters")
commands.command()(skew)

K = Annotated[int, typer.Option("-k", min=1, max=100, help="How many items.")]
DEFAULT_PORT_BASE = 8080
DEFAULT_HOST = "127.0.0.1"


@commands.command()
def build(
    data: Data = None,
    items: Items = DEFAULTS.items,
    users: Users = DEFAULTS.users,
    events: Events = DEFAULTS.events,
    holdout: Annotated[
        Literal["none", "last"],
        typer.Option(help="'last' keeps every user's last event out, so that `winnow evaluate` can ask for it."),
    ] = "none",
    encoders: Annotated[
        Path | None,
        typer.Option(
            help="A YAML file that chooses the encoders, such as `text: {kind: sentence, model: FOLDER}`; without it, "
            "winnow-tiny is trained on the catalog.",
            show_default=False,
        ),
    ] = None,
    training: Annotated[
        Path | None,
        typer.Option(
            help="A YAML file of training settings, such as `retriever: {dimension: 128}`, in the sections retriever, "
            "covisitation, popularity, candidates, lists and ranker; what it leaves out keeps its default "
            "(docs/training.md lists every field).",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on after the last whole step of this home's unfinished build, same options."),
    ] = False,
) -> None:
    """Run the retraining pipeline and write the next release.

    Reads and validates the data, trains the encoders, the retriever and the ranker, exports them to ONNX and proves
    each equal to PyTorch. Exit code 2 means that the data or a settings file breaks its contract; the message names
    the place.
    """
    source = source_of(data, items, users, events)
    if encoders is not None:
        from winnow.encoders.settings import EncoderSettings

        source = source.model_copy(update={"encoders": settings_file.changed(EncoderSettings.load(encoders))})
    if training is not None:
        from winnow.training_settings import TrainingSettings

        chosen = settings_file.load(TrainingSettings, training)
        source = source.model_copy(update={"training": settings_file.changed(chosen)})
    built = run_build(source, holdout, resume)
    typer.echo(f"release {built.manifest.number}: {built.folder}")


@commands.command()
def up(
    number: Annotated[int | None, typer.Option("--release", help="Which release; the newest by default.")] = None,
    port_base: PortBase = DEFAULT_PORT_BASE,
    host: Host = DEFAULT_HOST,
    detach: Annotated[bool, typer.Option("--detach", help="Serve in the background; `winnow down` stops it.")] = False,
) -> None:
    """Serve a release: Redis, Triton, the Bloom sidecar and the KServe transformer, until Ctrl-C."""
    from winnow.local import stack
    from winnow.ports import Ports, checked_host

    chosen = number if number is not None else newest().manifest.number
    ports, host = Ports.at(port_base), checked_host(host)
    where = f"http://{host}:{ports.http} and grpc {host}:{ports.grpc}"
    if detach:
        state = stack.detach(chosen, ports, host, show_progress=sys.stderr.isatty())
        typer.echo(f"release {state.release} at {where}")
        return
    with stack.Stack(chosen, ports, host=host, show_progress=sys.stderr.isatty()) as running:
        typer.echo(f"release {chosen} at {where}; Ctrl-C stops it")
        running.wait()


@commands.command()
def down() -> None:
    """Stop what `winnow up --detach` started."""
    from winnow.local import stack

    state = stack.down()
    typer.echo(f"stopped release {state.release}" if state else "nothing was running")


@commands.command()
def recommend(
    user: Annotated[
        str | None,
        typer.Argument(help="A user id; an unknown one is answered from what is trending.", show_default=False),
    ] = None,
    k: K = 10,
    text: Annotated[str | None, typer.Option(help="Look for this, in words.", show_default=False)] = None,
    image: Annotated[Path | None, typer.Option(help="Look for what this picture shows.", show_default=False)] = None,
    audio: Annotated[Path | None, typer.Option(help="Look for what sounds like this.", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """Ask the running stack what suits a user, what is like a text, a picture or a sound, or what is both."""
    from winnow import client
    from winnow.cli import show

    query: client.Instance = {} if text is None else {"text": text}
    query |= {name: client.encoded(_content(path)) for name, path in (("image", image), ("audio", audio)) if path}
    if user is None and not query:
        raise WinnowError("say for whom (a user id) or what is looked for (--text, --image, --audio)")
    request: client.Instance = {"k": k}
    if user is not None:
        request["user_id"] = user
    if query:
        request |= {"query": query, "deadline_ms": client.PATIENCE_MS}
    state = running()
    with client.http(state.ports.http, state.reached) as endpoint:
        [answer] = client.over_http_v1(endpoint, [request])
    if as_json:
        typer.echo(json.dumps(answer, indent=1))
    else:
        show.answer(answer, release.Release.open(home.releases() / str(answer["release"])))


@commands.command()
def evaluate(
    as_json: Json = False,
    min_weight: Annotated[
        float, typer.Option(help="Ask only for held-out events whose type weighs at least this much.")
    ] = 0.0,
) -> None:
    """Recall, ndcg and coverage of the served funnel, beside the retriever and the classic baselines.

    Every user's last event is asked of a release that was built without it (`winnow build --holdout last`). Where the
    newest release's data has no such release yet, it is built now; it is not the one that `winnow up` serves.
    """
    from winnow.cli import show
    from winnow.evaluation import report

    served = release.latest(home.releases())
    like = served.manifest.source if served else None
    held_out = release.latest(home.releases(), "last", like)
    if held_out is None:
        source = newest().manifest.source
        typer.echo("no release of this data was built with --holdout last: building one", err=True)
        held_out = run_build(source, "last")
    evaluation = report.evaluate(held_out, min_weight, show_progress=sys.stderr.isatty())
    if as_json:
        typer.echo(json.dumps(evaluation, indent=1))
    else:
        show.evaluation(evaluation)


@commands.command()
def demo(
    data: Data = None,
    items: Items = DEFAULTS.items,
    users: Users = DEFAULTS.users,
    events: Events = DEFAULTS.events,
    once: Annotated[bool, typer.Option("--once", help="Stop after the samples instead of serving on.")] = False,
    port_base: PortBase = DEFAULT_PORT_BASE,
    host: Host = DEFAULT_HOST,
) -> None:
    """Build a release if there is none of this data, serve it, and show what users and queries get."""
    from winnow.cli import show
    from winnow.local.stack import Stack
    from winnow.ports import Ports, checked_host, reached_at

    source = source_of(data, items, users, events)
    ports, host = Ports.at(port_base), checked_host(host)
    served = release.latest(home.releases(), like=source) or run_build(source, "none")
    with Stack(served.manifest.number, ports, host=host, show_progress=sys.stderr.isatty()) as stack:
        show.samples(served, ports, reached_at(host))
        show.queries(served, ports, reached_at(host))
        if not once:
            typer.echo(f"\nServing at http://{host}:{ports.http} and grpc {host}:{ports.grpc}; Ctrl-C stops it.")
            stack.wait()


def _content(path: Path) -> bytes:
    from winnow.encoders import media

    return media.read(str(path))


def newest() -> release.Release:
    """The newest release meant for serving.

    Raises:
        WinnowError: there is none.
    """
    found = release.latest(home.releases())
    if found is None:
        raise WinnowError(f"no release under {home.releases()}: build one with `winnow build`")
    return found


def source_of(data: str | None, items: int, users: int, events: int) -> release.BuildInputs:
    """What to build from; a folder is made absolute, so that it is recognised from anywhere."""
    where = data if data is None or "://" in data else str(Path(data).resolve())
    return release.BuildInputs(data=where or "", items=items, users=users, events=events)


def run_build(source: release.BuildInputs, holdout: str, resume: bool = False) -> release.Release:
    """Run the retraining pipeline in a process of its own.

    Raises:
        BuildFailed: it ended without a release.
    """
    from winnow.local.building import retrain

    return release.Release.open(home.releases() / str(retrain(source, holdout, resume)))


def app() -> None:
    """The command, its errors said in words."""
    proxies.bypass_loopback()
    try:
        commands()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except (WinnowError, OSError) as error:
        shown = as_winnow_error(error)
        if shown is None:
            raise
        typer.echo(f"winnow: {shown}", err=True)
        raise SystemExit(shown.exit_code) from None
