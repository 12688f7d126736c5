"""What does training that goes on from a release cost, and what is it worth, beside a training from the beginning?

A release of the first 90 % of a data set's events is gone on from with all of them, and all of them are trained in
full. Both are evaluated on the same events: each user's last, which no training has learned from. Items have no
content: the encoders, which an incremental build keeps, do not learn from events.

It can be run in pieces. Each leaves its result in a folder, and one that is there is not repeated:

- ``python -m benchmarks.training.going_on prepare FOLDER NAME`` writes the feature sets of a data set;
- ``python -m benchmarks.training.going_on_models KIND FOLDER/NAME SEED`` trains, on any machine with PyTorch;
- ``python -m benchmarks.training.going_on evaluate FOLDER/NAME SEED`` exports and serves both releases of a seed;
- ``python -m benchmarks.training.going_on rows FOLDER`` prints what is there.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import typer

from benchmarks.common.rows import Row, render, row
from benchmarks.training.going_on_models import Cost
from benchmarks.training.subjects import data_set
from benchmarks.value import ratings
from benchmarks.value.subjects import temporary_home
from export.release import TrainedParts, export_release
from winnow import home, provenance
from winnow.datasets.ingest import ingest
from winnow.datasets.marketplace import MarketplaceSize
from winnow.encoders.inputs import EncoderInputs
from winnow.encoders.preparation import INPUTS_FILE
from winnow.evaluation.report import evaluate
from winnow.features.extract import extract_folder
from winnow.lifecycle.claims import claim

SHARE = 0.9
"""Of the events, by time, that the release knows from which training goes on."""

SEEDS = (0, 1)

DATA = ("ml-100k", "beauty")

KINDS = ("full", "on")
"""Of the trainings that are compared."""

DAY_S = 86_400

SPREAD_DAYS = 365

Lines = list[list[str]]
"""The rows of a log, without its header: user, item, rating, time."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def measure() -> list[Row]:
    """Processor seconds of the trainings and ndcg@10, means over the seeds."""
    folder = home.home() / "going-on"
    for name in DATA:
        prepare(folder, name)
        for seed in SEEDS:
            for kind in ("first", "full", "on"):
                command = [sys.executable, "-m", "benchmarks.training.going_on_models", kind, folder / name, str(seed)]
                subprocess.run(command, check=True)  # noqa: S603  # the module's own command
            quality(folder / name, seed)
    return [each for name in DATA for each in rows_of(folder / name)]


@app.command()
def prepare(folder: Path, name: str) -> None:
    """Write ``FOLDER/NAME/whole`` and ``FOLDER/NAME/first``: feature sets without each user's last event."""
    out = folder / name
    if (out / "first").exists():
        return
    data = out / "data"
    source = ratings.data("plain") if name == "ml-100k" else data_set(name)
    shutil.copytree(source, data, copy_function=shutil.copyfile)
    if name == "beauty":
        rewrite(data, spread)
    for part in ("whole", "first"):
        if part == "first":
            rewrite(data, first_events)
        dataset, encoders = out / f"{part}-dataset", out / "encoders"
        ingest(str(data), dataset, "last", MarketplaceSize(), show_progress=False)
        encoders.mkdir(exist_ok=True)
        (encoders / INPUTS_FILE).write_text(EncoderInputs().model_dump_json())
        extract_folder(dataset, encoders, out / part)
        for each in (dataset, encoders):
            provenance.record(each, data=name)
    shutil.rmtree(data)


def rewrite(folder: Path, change: Callable[[Lines], Lines]) -> None:
    """Change the log of a data set in RecBole's form."""
    [log] = folder.glob("*.inter")
    header, *lines = log.read_text().splitlines()
    changed = change([line.split("\t") for line in lines])
    log.chmod(0o644)
    log.write_text("\n".join([header, *("\t".join(line) for line in changed)]))


def first_events(lines: Lines) -> Lines:
    """The first events by time."""
    times = np.array([float(line[3]) for line in lines])
    last = np.sort(times)[int(len(times) * SHARE) - 1]
    return [line for line, time in zip(lines, times, strict=True) if time <= last]


def spread(lines: Lines) -> Lines:
    """Begin each user's log on a day of its own: Beauty's times are places in a sequence, so all begin at once."""
    users = sorted({line[0] for line in lines})
    days = dict(zip(users, np.random.default_rng(0).integers(0, SPREAD_DAYS, len(users)).tolist(), strict=True))
    return [[user, item, rating, f"{float(time) + days[user] * DAY_S:.0f}"] for user, item, rating, time in lines]


@app.command("evaluate")
def quality(folder: Path, seed: int) -> None:
    """Export and serve both releases of a seed; writes ``SEED/KIND/quality.json``."""
    for kind in ("full", "on"):
        out = folder / str(seed) / kind
        if (out / "quality.json").exists():
            continue
        provenance.record(out / "retriever", training="")
        parts = TrainedParts(
            folder / "whole-dataset", folder / "encoders", folder / "whole", out / "retriever", out / "ranker"
        )
        with temporary_home() as place:
            found = evaluate(export_release(parts, place, claim(str(place))).release)["metrics"]
        figures = {part: found[part]["ndcg@10"] for part in ("retriever", "funnel")}
        (out / "quality.json").write_text(json.dumps(figures))
        typer.echo(f"{folder.name} {seed} {kind}: {figures}")


@app.command()
def rows(folder: Path) -> None:
    """Print the figures of the data sets whose pieces have all run."""
    render([each for name in DATA if (folder / name).exists() for each in rows_of(folder / name)], as_json=False)


def rows_of(folder: Path) -> list[Row]:
    """The figures of a data set, means over the seeds that are there."""
    seeds = sorted(path.parents[1] for path in folder.glob("*/on/quality.json"))
    costs = {
        kind: [Cost.model_validate_json((seed / kind / "cost.json").read_bytes()) for seed in seeds] for kind in KINDS
    }
    found = {kind: [json.loads((seed / kind / "quality.json").read_bytes()) for seed in seeds] for kind in KINDS}
    full, on = (float(np.mean([cost.cpu_s for cost in costs[kind]])) for kind in KINDS)
    named = f"{folder.name}, {len(seeds)} seeds, 10 % new events"
    figures = [
        row(f"{named}: training in full", full, "CPU s"),
        row(f"{named}: training on from the release", on, "CPU s"),
        row(f"{named}: the same, ratio", on / full, "x", "<= 0.3"),
    ]
    for part in ("retriever", "funnel"):
        before, after = (float(np.mean([each[part] for each in found[kind]])) for kind in KINDS)
        figures += [
            row(f"{named}: {part}'s ndcg@10 in full", before, ""),
            row(f"{named}: the same, ratio", after / before, "x", ">= 0.98"),
        ]
    cosine = float(np.mean([cost.cosine for cost in costs["on"]]))
    return [*figures, row(f"{named}: mean cosine of an item's vectors, before and after", cosine, "", ">= 0.95")]


if __name__ == "__main__":
    app()
