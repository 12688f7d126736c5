"""What is known of the releases of a home, read from their manifests, evaluations and verdicts."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from winnow import release as releases
from winnow.errors import WinnowError
from winnow.evaluation import record as records
from winnow.evaluation.record import FUNNEL, Estimate
from winnow.lifecycle import verdict as verdicts
from winnow.lifecycle.live import Live, live
from winnow.lifecycle.transfer import manifest_of
from winnow.lifecycle.verdict import Verdict
from winnow.local import stack_state
from winnow.local.stack_state import StackState
from winnow.release import MANIFEST, Manifest
from winnow.reporting.evaluated import evaluation_of

State = Literal["live", "previous", "served", "warm"]

PAGE = 50
"""Releases of a page."""

_HELD = 256
"""Manifests and figures of evaluations that stay in memory."""

_Stamp = tuple[int, int]
"""A file's time of change in nanoseconds, and its size: what was read from it holds as long as they do."""


@dataclass(frozen=True)
class ReleaseRow:
    """A release.

    Attributes:
        number: of the release.
        manifest: ``None`` where it cannot be read.
        fault: why it, the evaluation or the verdict cannot be read; empty where all can.
        states: what it is to the home: ``live`` is what the pin names, ``served`` what the transformer answers with.
        verdict: the gate's; ``None`` where it was not asked.
        evaluated: the release whose evaluation measures it; ``None`` without one.
        figures: metric -> estimate, of the served funnel in that evaluation.
    """

    number: int
    manifest: Manifest | None
    fault: str
    states: tuple[State, ...]
    verdict: Verdict | None
    evaluated: int | None
    figures: Mapping[str, Estimate]

    @property
    def origin(self) -> str:
        """What it was built from, in words."""
        return "" if self.manifest is None else origin(self.manifest)


@dataclass(frozen=True)
class Listing:
    """The releases of a home.

    Attributes:
        rows: the newest first.
        pin: of the home; ``None`` where no release was promoted.
        pin_fault: why the pin cannot be read; empty where it can.
        stack: the home's running stack; ``None`` where none runs on this machine.
        next: the number before which the next page starts; ``None`` on the last one.
        total: releases of the home.
    """

    rows: list[ReleaseRow]
    pin: Live | None
    pin_fault: str
    stack: StackState | None
    next: int | None
    total: int

    @property
    def live(self) -> int | None:
        """The live release."""
        return None if self.pin is None else self.pin.release


def listing(home: Path, served: int | None, before: int | None = None, only: int | None = None) -> Listing:
    """The releases of a home, a page of them.

    Args:
        home: WINNOW_HOME.
        served: the release that the transformer answers with; ``None`` where it is not known.
        before: the page starts below this number.
        only: the page has this release alone, or nothing where the home lacks it.
    """
    numbers = releases.numbers(home / "releases")
    newest_first = [number for number in reversed(numbers) if before is None or number < before]
    shown = newest_first[:PAGE] if only is None else [number for number in numbers if number == only]
    pin, pin_fault = _pin(home)
    stack = stack_state.running(home / "run")
    named: dict[State, int | None] = {
        "live": None if pin is None else pin.release,
        "previous": None if pin is None else pin.previous,
        "served": served,
        "warm": None if stack is None else stack.warm,
    }
    measured = _evaluated(home, numbers)
    rows = [
        _row(home, number, tuple(word for word, each in named.items() if each == number), measured) for number in shown
    ]
    rest = only is None and len(newest_first) > PAGE
    return Listing(rows, pin, pin_fault, stack, shown[-1] if rest else None, len(numbers))


def origin(manifest: Manifest) -> str:
    """What a release was built from, in words."""
    source = manifest.source
    data = source.data or (
        f"the generated marketplace of {source.items:,} items, {source.users:,} users and {source.events:,} events"
    )
    return f"{data}, from release {source.from_release}" if source.from_release else data


def _row(home: Path, number: int, states: tuple[State, ...], measured: list[Manifest]) -> ReleaseRow:
    manifest, faults = None, []
    try:
        manifest = _manifest(home, number)
    except WinnowError as error:
        return ReleaseRow(number, None, str(error), states, None, None, {})
    verdict, evaluated = None, evaluation_of(manifest, measured)
    figures: Mapping[str, Estimate] = {}
    try:
        verdict = verdicts.read(home, number)
    except WinnowError as error:
        faults.append(str(error))
    if evaluated is not None:
        try:
            figures = _figures_of(home, evaluated)
        except WinnowError as error:
            faults.append(str(error))
    return ReleaseRow(number, manifest, "; ".join(faults), states, verdict, evaluated, figures)


def _pin(home: Path) -> tuple[Live | None, str]:
    try:
        return live(str(home)), ""
    except WinnowError as error:
        return None, str(error)


def _evaluated(home: Path, numbers: list[int]) -> list[Manifest]:
    """The manifests of the evaluated releases, newest first; without unreadable ones."""
    found = []
    for number in reversed(numbers):
        if records.is_written(str(home), number):
            try:
                found.append(_manifest(home, number))
            except WinnowError:
                continue
    return found


def _manifest(home: Path, number: int) -> Manifest:
    return _read_manifest(str(home), number, _stamp(home / "releases" / str(number) / MANIFEST))


def _figures_of(home: Path, number: int) -> Mapping[str, Estimate]:
    path = Path(records.folder(str(home), number), records.FILE)
    return _read_figures(str(home), number, _stamp(path))


def _stamp(path: Path) -> _Stamp:
    try:
        found = os.stat(path)
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_size)


@lru_cache(_HELD)
def _read_manifest(home: str, number: int, stamp: _Stamp) -> Manifest:
    return manifest_of(home, number)[1]


@lru_cache(_HELD)
def _read_figures(home: str, number: int, stamp: _Stamp) -> Mapping[str, Estimate]:
    record = records.read(home, number)
    return {} if record is None else record.overall.metrics.get(FUNNEL, {})
