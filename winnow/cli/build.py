"""``winnow build``: run the retraining pipeline."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from winnow import home, release
from winnow.cli.options import DEFAULTS, Data, Events, Items, Users
from winnow.errors import WinnowError
from winnow.settings.file import changed, load


def build(
    data: Data = None,
    items: Items = DEFAULTS.items,
    users: Users = DEFAULTS.users,
    events: Events = DEFAULTS.events,
    holdout: Annotated[
        Literal["none", "last"],
        typer.Option(help="'last' holds out the end of every user's log, for `winnow evaluate`."),
    ] = "none",
    encoders: Annotated[
        Path | None,
        typer.Option(
            help="YAML file that selects the encoders, such as `text: {kind: sentence, model: FOLDER}`. Default: "
            "winnow-tiny, trained on the catalog.",
            show_default=False,
        ),
    ] = None,
    training: Annotated[
        Path | None,
        typer.Option(
            help="YAML file of training settings, such as `retriever: {dimension: 128}`, in the sections retriever, "
            "covisitation, popularity, candidates, lists, ranker and compute; docs/training.md lists every field. "
            "Default: the default of every field.",
            show_default=False,
        ),
    ] = None,
    rules: Annotated[
        Path | None,
        typer.Option(
            help="YAML file of business rules (filters, boosts, pins, caps, fatigue), which are part of the release; "
            "docs/rules.md lists every field. Default: rules.yaml in WINNOW_HOME, or none.",
            show_default=False,
        ),
    ] = None,
    profile: Annotated[
        Path | None,
        typer.Option(
            help="Folder that gets traces of a few training steps, for Perfetto or chrome://tracing.",
            show_default=False,
        ),
    ] = None,
    start: Annotated[
        int | None,
        typer.Option(
            "--from",
            min=1,
            metavar="N",
            help="Go on from release N: train its models with the events since then, in a fraction of the time. Data, "
            "encoders and settings are those of N, unless --data names newer data. A full build is due after ten such "
            "builds, for many new items, and where columns or event types have changed; the message says so.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue this home's unfinished build after its last complete step, with the same options.",
        ),
    ] = False,
) -> None:
    """Build a release: run the retraining pipeline on a data set.

    Reads and validates the data, trains the encoders, the retriever and the ranker, exports them to ONNX, and checks
    that each exported model equals its PyTorch model. Exit code 2: the data set or a settings file breaks its contract;
    the message lists the faults.

    With --from N the build is incremental: the models of release N learn the events since then. The result is a release
    like any other, checked likewise. It is for data that grew by some days; docs/training.md says when a full build is
    due.
    """
    source = source_of(data, items, users, events)
    if start is not None:
        if encoders is not None or training is not None:
            given = "--encoders" if encoders is not None else "--training"
            raise WinnowError(
                f"{given}: a build --from {start} keeps the encoders and settings of release {start}; leave the option "
                "out, or build without --from"
            )
        before = release.Release.open(home.releases() / str(start)).manifest.source
        kept = {"encoders": before.encoders, "training": before.training, "from_release": start}
        source = (source if data is not None else before).model_copy(update=kept)
    if encoders is not None:
        from winnow.encoders.settings import EncoderSettings

        source = source.model_copy(update={"encoders": changed(EncoderSettings.load(encoders))})
    if training is not None:
        from winnow.settings.training import TrainingSettings

        settings = load(TrainingSettings, training)
        source = source.model_copy(update={"training": changed(settings)})
    from winnow.settings.business_rules import HOME_FILE, Rules

    path = rules or home.home() / HOME_FILE
    if rules is not None or path.exists():
        source = source.model_copy(update={"rules": changed(load(Rules, path))})
    built = run_build(source, holdout, resume, profile)
    typer.echo(f"release {built.manifest.number}: {built.folder}")


def newest() -> release.Release:
    """The newest release that was built for serving.

    Raises:
        WinnowError: there is no such release.
    """
    found = release.latest(home.releases())
    if found is None:
        raise WinnowError(f"no release in {home.releases()}: build one with `winnow build`")
    return found


def source_of(data: str | None, items: int, users: int, events: int) -> release.BuildInputs:
    """The source of a build; a folder becomes an absolute path, so that it is recognised from every directory."""
    address = data if data is None or "://" in data else str(Path(data).resolve())
    return release.BuildInputs(data=address or "", items=items, users=users, events=events)


def run_build(
    source: release.BuildInputs, holdout: str, resume: bool = False, profile: Path | None = None
) -> release.Release:
    """Run the pipeline of a build, full or incremental, in a child process.

    Raises:
        WinnowError: the release that the build goes on from does not suit it.
        BuildFailed: the pipeline failed.
    """
    from winnow.lifecycle.start import start_of
    from winnow.local.build import build_release

    if source.from_release:
        # Here, too, because the steps say it only after they have read the data.
        start = start_of(str(home.home()), source.from_release, release.checked_holdout(holdout))
        source = source.model_copy(update={"from_release": start})

    return release.Release.open(home.releases() / str(build_release(source, holdout, resume, profile)))
