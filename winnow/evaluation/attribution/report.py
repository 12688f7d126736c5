"""Rates of clicks and conversions per shown item, by source, position, release and arm."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import stats

from winnow.evaluation.attribution.log import Slots

_RANGES = ((10, 20), (20, 50), (50, 100), (100, 200), (200, 500), (500, None))
"""Positions from 10 on are counted together in these ranges: few slots of one position say nothing."""


class Rate(NamedTuple):
    """A share of the shown items.

    Attributes:
        hits: number of them.
        rate: the share; ``None`` where nothing was shown, as the two ends.
        low: lower end of its Wilson interval of 95 %.
        high: upper end.
    """

    hits: int
    rate: float | None
    low: float | None
    high: float | None


class AttributedRow(NamedTuple):
    """What came of a group of shown items.

    Attributes:
        name: the source, position, release, or ``experiment: arm``.
        shown: their number.
        clicks: those with an event of positive value.
        conversions: those with a conversion.
    """

    name: str
    shown: int
    clicks: Rate
    conversions: Rate


class Report(NamedTuple):
    """What came of all shown items.

    Attributes:
        total: all of them.
        source: by source; an item of several sources counts for each.
        position: by position, counted from 0 through all pages.
        release: by release.
        arm: by arm of an experiment.
        notes: what was not attributed, in words.
    """

    total: AttributedRow
    source: list[AttributedRow]
    position: list[AttributedRow]
    release: list[AttributedRow]
    arm: list[AttributedRow]
    notes: list[str]


def report(slots: Slots) -> Report:
    """The rates of a log."""
    table = slots.table
    every = np.arange(len(table))
    release = table["release"].to_numpy()
    numbers = np.unique(release).tolist()
    return Report(
        total=_row("all", every, slots),
        source=_by_label(*_flat(table["sources"]), slots),
        position=list(_by_position(table["position"].to_numpy(), slots)),
        release=[_row(str(number), np.flatnonzero(release == number), slots) for number in numbers],
        arm=_by_label(*_arms(table["arms"]), slots),
        notes=slots.notes,
    )


def _by_position(position: NDArray[np.int64], slots: Slots) -> Iterator[AttributedRow]:
    for first, end in (*((each, each + 1) for each in range(10)), *_RANGES):
        rows = np.flatnonzero((position >= first) & (position < end if end else True))
        if len(rows):
            name = f"{first}-" if end is None else str(first) if end == first + 1 else f"{first}-{end - 1}"
            yield _row(name, rows, slots)


def _by_label(slot: NDArray[np.int64], label: list[str], slots: Slots) -> list[AttributedRow]:
    labels = np.array(label, object)
    return [_row(name, np.unique(slot[labels == name]), slots) for name in sorted(set(label))]


def _flat(lists: pa.ChunkedArray) -> tuple[NDArray[np.int64], list[str]]:
    """The slot of each element of some lists, and the element."""
    return pc.list_parent_indices(lists.combine_chunks()).to_numpy(), pc.list_flatten(
        lists.combine_chunks()
    ).to_pylist()


def _arms(lists: pa.ChunkedArray) -> tuple[NDArray[np.int64], list[str]]:
    taken = lists.combine_chunks()
    flat = pc.list_flatten(taken)
    names = pc.binary_join_element_wise(pc.struct_field(flat, "experiment"), pc.struct_field(flat, "arm"), ": ")
    return pc.list_parent_indices(taken).to_numpy(), names.to_pylist()


def _row(name: str, rows: NDArray[np.int64], slots: Slots) -> AttributedRow:
    return AttributedRow(name, len(rows), _rate(slots.clicked[rows]), _rate(slots.converted[rows]))


def _rate(hit: NDArray[np.bool_]) -> Rate:
    count, shown = int(np.count_nonzero(hit)), len(hit)
    if not shown:
        return Rate(0, None, None, None)
    interval = stats.binomtest(count, shown).proportion_ci(method="wilson")
    return Rate(count, count / shown, float(interval.low), float(interval.high))
