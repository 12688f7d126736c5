"""What does a build that goes on from a release cost, and what is it worth, beside one from the beginning?

A release of the first 90 % of a data set's events is gone on from with all of them, and all of them are built in full.
Both are evaluated on the same events: each user's last, which no build has learned from.
"""

import json
import shutil
from pathlib import Path

import numpy as np

from benchmarks.common.rows import Row, row
from benchmarks.training.build_cost import readings
from benchmarks.training.subjects import data_set
from benchmarks.value import ratings
from winnow import home
from winnow.cli.build import run_build
from winnow.evaluation.report import evaluate
from winnow.release import BuildInputs, Release

SHARE = 0.9
"""Of the events, by time, that the release knows from which training goes on."""

SEEDS = (0, 1)

DATA = ("ml-100k", "beauty")


def measure() -> list[Row]:
    """Processor seconds of the training step and of the build, and ndcg@10, means over the seeds."""
    return [each for name in DATA for each in _measure(name)]


def _measure(name: str) -> list[Row]:
    whole = ratings.data("plain") if name == "ml-100k" else data_set(name)
    part = first_events(whole, home.home() / f"{name}-first", SHARE)
    found = [beside(part, whole, seed) for seed in SEEDS]
    full, incremental = (np.mean([each[kind] for each in found], axis=0) for kind in (0, 1))
    cosines = [each[2] for each in found]
    training, build, retriever, funnel = incremental / full
    named = f"{name}, {len(SEEDS)} seeds, 10 % new events"
    return [
        row(f"{named}: training in full", full[0], "CPU s"),
        row(f"{named}: training on from the release", incremental[0], "CPU s"),
        row(f"{named}: the same, ratio", training, "x", "<= 0.3"),
        row(f"{named}: whole build, ratio", build, "x"),
        row(f"{named}: retriever's ndcg@10 in full", full[2], ""),
        row(f"{named}: the same, ratio", retriever, "x", ">= 0.98"),
        row(f"{named}: funnel's ndcg@10 in full", full[3], ""),
        row(f"{named}: the same, ratio", funnel, "x", ">= 0.98"),
        row(f"{named}: mean cosine of an item's vectors, before and after", float(np.mean(cosines)), "", ">= 0.95"),
    ]


def first_events(data: Path, folder: Path, share: float) -> Path:
    """A copy of a data set in RecBole's form with the first events by time.

    Args:
        data: the data set's folder.
        folder: the copy's.
        share: of the events.
    """
    shutil.copytree(data, folder)
    [log] = folder.glob("*.inter")
    header, *lines = log.read_text().splitlines()
    column = next(place for place, name in enumerate(header.split("\t")) if name.startswith("timestamp"))
    times = np.array([float(line.split("\t")[column]) for line in lines])
    last = np.sort(times)[int(len(times) * share) - 1]
    log.write_text("\n".join([header, *(line for line, time in zip(lines, times, strict=True) if time <= last)]))
    return folder


Figures = tuple[float, float, float, float]
"""Processor seconds of the training step and of all steps, and ndcg@10 of retriever and funnel."""


def beside(part: Path, whole: Path, seed: int) -> tuple[Figures, Figures, float]:
    """Build both ways.

    Args:
        part: the data that the release knows from which training goes on.
        whole: the same with newer events.
        seed: of all training.

    Returns:
        The figures in full, those of the incremental build, and its mean cosine.
    """
    training = json.dumps({"retriever": {"seed": seed}, "ranker": {"seed": seed}})
    start = run_build(BuildInputs(data=str(part), training=training), "last")
    inputs = BuildInputs(data=str(whole), training=training)
    full, _ = _built(inputs, "train")
    going_on = inputs.model_copy(update={"from_release": start.manifest.number})
    incremental, release = _built(going_on, "go_on")
    return full, incremental, float(release.manifest.increment["cosine"])


def _built(inputs: BuildInputs, step: str) -> tuple[Figures, Release]:
    with readings() as steps:
        release = run_build(inputs, "last")
    found = evaluate(release)["metrics"]
    quality = found["retriever"]["ndcg@10"], found["funnel"]["ndcg@10"]
    return (steps[step], sum(steps.values()), *quality), release
