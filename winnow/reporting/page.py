"""Collects what was measured of a release and writes it as one page of HTML."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup
from pydantic import BaseModel, ConfigDict

from winnow import files
from winnow.errors import WinnowError
from winnow.evaluation import record as records
from winnow.evaluation.record import CLICK, EvaluationRecord
from winnow.provenance import BUILD, BuildRecord
from winnow.release import Manifest
from winnow.reporting import figures, forest
from winnow.reporting.verdict import METRIC, best_baseline, key_figures, verdict

FILE = "report.html"

_GATE = "gate.json"
_DIMENSIONS = ("new users", "activity", "item's age", "item's content", "item's category")
"""The first of the segments' dimensions; columns of the users follow."""


class Chart(NamedTuple):
    """A chart of a section.

    Attributes:
        title: above it.
        svg: the chart.
        note: below it; empty for none.
    """

    title: str
    svg: Markup
    note: str = ""


class _Check(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    passed: bool
    message: str


class _Gate(BaseModel):
    """The part of the gate's verdict that the report shows."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    passed: bool
    checks: list[_Check]


def write_report(home: Path | str, number: int) -> Path:
    """Write the report of an evaluation to ``evaluations/N/report.html`` of a home; replaces an earlier one.

    Args:
        home: a folder with releases and evaluations.
        number: the evaluated release.

    Returns:
        The path of the report.

    Raises:
        WinnowError: the release was not evaluated, or the report cannot be written.
    """
    address = files.inside(records.folder(str(home), number), FILE)
    files.write(address, report(str(home), number).encode())
    return Path(address)


def report(home: str, number: int) -> str:
    """The report of an evaluation as HTML.

    Args:
        home: a folder, or an ``s3://`` address, with releases and evaluations.
        number: the evaluated release.

    Raises:
        WinnowError: the release was not evaluated, or a file cannot be read.
    """
    record = records.read(home, number)
    if record is None:
        raise WinnowError(
            f"release {number} was not evaluated in {home}: run `winnow evaluate`, which evaluates the newest release "
            "that was built with --holdout last"
        )
    release = files.inside(home, "releases", str(number))
    manifest = Manifest.model_validate_json(files.read(files.inside(release, "manifest.json")))
    gate = _optional(files.inside(records.folder(home, number), _GATE))
    build = _optional(files.inside(release, BUILD))
    return html(
        record,
        manifest,
        BuildRecord() if build is None else BuildRecord.model_validate_json(build),
        None if gate is None else _Gate.model_validate_json(gate),
    )


def html(record: EvaluationRecord, manifest: Manifest, build: BuildRecord, gate: _Gate | None = None) -> str:
    """Fill the template.

    Args:
        record: what was measured.
        manifest: of the evaluated release.
        build: how it was built.
        gate: what the gate said; ``None`` where it has not run.
    """
    return _template().render(
        record=record,
        manifest=manifest,
        gate=gate,
        verdict=verdict(record),
        key_figures=key_figures(record),
        comparison=_comparison(record),
        losses=figures.losses(record.losses) if record.losses else None,
        calibration=[
            Chart("click: the user takes this item next" if name == CLICK else name, figures.calibration(name, bins))
            for name, bins in record.calibration.items()
        ],
        segments=_segments(record),
        fewest=forest.FEWEST,
        best=best_baseline(record.overall),
        drift=record.drift,
        drift_chart=figures.drift(record.drift.columns) if record.drift and record.drift.columns else None,
        drifted=figures.drifted(record.drift.columns) if record.drift else [],
        curves=_curves(build),
        steps=build.steps,
        steps_chart=figures.steps(build.steps) if build.steps else None,
        duration=figures.duration,
        total=sum(cost.seconds for cost in build.steps),
        settings=_settings(manifest),
        as_of=datetime.fromtimestamp(manifest.as_of / 1000, UTC),
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("winnow.reporting", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html")


def _optional(address: str) -> bytes | None:
    try:
        return files.read(address)
    except files.FileMissing:
        return None


def _comparison(record: EvaluationRecord) -> list[Chart]:
    charts = [
        Chart(f"{METRIC}, all users", forest.recommenders(record.overall, METRIC)),
        Chart("recall@50, all users", forest.recommenders(record.overall, "recall@50")),
        Chart(
            f"{METRIC}: the funnel minus the others",
            forest.differences(record.overall, METRIC),
            "Of the same users on both sides. Where the line crosses zero, no difference can be shown.",
        ),
    ]
    if record.beside_live is not None:
        users = f"{record.beside_live.users:,} users whose held-out event neither release knows"
        charts.append(
            Chart(f"{METRIC} beside the live release", forest.recommenders(record.beside_live, METRIC), users)
        )
        title = f"{METRIC}: the funnel minus the live release and the others"
        charts.append(Chart(title, forest.differences(record.beside_live, METRIC), users))
    return charts


def _segments(record: EvaluationRecord) -> list[Chart]:
    order = [name for name in _DIMENSIONS if name in record.segments]
    order += [name for name in record.segments if name not in order]
    # Charts of a row of the page are about equally high.
    order.sort(key=lambda name: len(record.segments[name]))
    best = best_baseline(record.overall)
    return [Chart(name, forest.segments(record.segments[name], best, METRIC)) for name in order]


def _curves(build: BuildRecord) -> list[Chart]:
    charts = []
    for name, course in build.curves.items():
        if course.points:
            charts.append(Chart(f"{name}: loss", figures.curve(course, validation=False)))
        if any(point.validation is not None for point in course.points):
            charts.append(Chart(f"{name}: validation", figures.curve(course, validation=True)))
    return charts


def _settings(manifest: Manifest) -> Mapping[str, Mapping[str, Any]]:
    """Section -> field -> value; those of the encoders where they differ from the defaults."""
    encoders = json.loads(manifest.source.encoders) if manifest.source.encoders else {}
    return dict(manifest.training) | ({"encoders": encoders} if encoders else {})
