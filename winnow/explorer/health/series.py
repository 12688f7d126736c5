"""What happened between two scrapes: increases of counters, quantiles of histograms."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from winnow.explorer.health.scrape import STARTED, Key, Samples, Scrape

Labels = Mapping[str, str]

_CREATED, _BUCKET = "_created", "_bucket"

_STARTING_MS = 120_000.0
"""A process that did not answer yet, and had begun at most so long before, has counted nothing until then."""


class Quantile(NamedTuple):
    """A quantile as the buckets of a histogram give it.

    Attributes:
        seconds: interpolated within its bucket; of one in the first or last bucket, the bound of that.
        above: whether it is above the last bound.
        below: whether it is below the first one.
    """

    seconds: float
    above: bool = False
    below: bool = False


class Between:
    """The increases from the first of some scrapes to the last.

    A process that began meanwhile counts from 0. One that was not seen before, or says not when it began, counts from
    its first scrape: it may have counted for long.

    Args:
        scrapes: in the order of time; at least two.
    """

    def __init__(self, scrapes: Sequence[Scrape]) -> None:
        self.seconds = scrapes[-1].at - scrapes[0].at
        self._grown: dict[Key, float] = {}
        for address in {address for each in scrapes for address in each.samples}:
            for before, after in _lives(scrapes, address):
                for key, value in after.items():
                    if not key.name.endswith(_CREATED):
                        held = before.get(key, 0.0)
                        self._grown[key] = self._grown.get(key, 0.0) + (value - held if value >= held else value)
        self._buckets: dict[Key, dict[float, float]] = {}
        for key, value in self._grown.items():
            if key.name.endswith(_BUCKET):
                others = tuple(pair for pair in key.labels if pair[0] != "le")
                of = self._buckets.setdefault(Key(key.name.removesuffix(_BUCKET), others), {})
                of[float(dict(key.labels)["le"])] = value

    def increase(self, name: str, **labels: str) -> float:
        """By how much the counters of a name grew, of all series that have these labels."""
        return sum(value for key, value in self._grown.items() if key.name == name and _has(key, labels))

    def by(self, name: str, *labels: str) -> dict[tuple[str, ...], float]:
        """The increase of a counter for each combination of some labels."""
        found: dict[tuple[str, ...], float] = {}
        for key, value in self._grown.items():
            if key.name == name:
                of = dict(key.labels)
                group = tuple(of.get(label, "") for label in labels)
                found[group] = found.get(group, 0.0) + value
        return found

    def quantiles(self, name: str, shares: tuple[float, ...], **labels: str) -> list[Quantile | None]:
        """Quantiles of a histogram; ``None`` where nothing was observed."""
        buckets: dict[float, float] = {}
        for key, of in self._buckets.items():
            if key.name == name and _has(key, labels):
                for bound, value in of.items():
                    buckets[bound] = buckets.get(bound, 0.0) + value
        return [quantile(buckets, share) for share in shares]


def quantile(buckets: Mapping[float, float], share: float) -> Quantile | None:
    """A quantile of cumulative buckets, upper bound -> count, interpolated as by Prometheus.

    Unlike there, a quantile in the first bucket has no value: half of 0.1 ms would look like a measurement.
    """
    bounds = sorted(buckets)
    if not bounds or buckets[bounds[-1]] <= 0:
        return None
    rank = share * buckets[bounds[-1]]
    lower, below = 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= rank:
            if math.isinf(bound):
                return Quantile(lower, above=True)
            if bound == bounds[0]:
                return Quantile(bound, below=True)
            inside = buckets[bound] - below
            return Quantile(lower + (bound - lower) * ((rank - below) / inside if inside else 1.0))
        lower, below = bound, buckets[bound]
    return None


def gauge(scrape: Scrape, name: str, over: Callable[[list[float]], float] = sum, **labels: str) -> float | None:
    """A gauge of all processes, joined by ``over``; ``None`` where no process has it."""
    values = [
        value for of in scrape.samples.values() for key, value in of.items() if key.name == name and _has(key, labels)
    ]
    return over(values) if values else None


def _lives(scrapes: Sequence[Scrape], address: str) -> list[tuple[Samples, Samples]]:
    """What a process, and each that took its place, had counted at the beginning and at the end."""
    lives: list[tuple[Samples, Samples]] = []
    began: float | None = None
    for samples in (each.samples[address] for each in scrapes if address in each.samples):
        started = samples.get(STARTED)
        if lives and started == began:
            lives[-1] = (lives[-1][0], samples)
        else:
            unheard = 0.0 if address in scrapes[0].samples else _STARTING_MS
            is_new = started is not None and (bool(lives) or started * 1000 > scrapes[0].wall_ms - unheard)
            lives.append(({} if is_new else samples, samples))
            began = started
    return lives


def _has(key: Key, labels: Labels) -> bool:
    return all(pair in key.labels for pair in labels.items())
