"""Reads ``/metrics`` pages: the samples of the stack's processes at one moment."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import httpx
from prometheus_client.parser import text_string_to_metric_families

_PREFIX = "winnow_"
_MOST_BYTES = 8 << 20
_TIMEOUT_S = 3.0


class Key(NamedTuple):
    """A time series: a sample's name with its labels in the order of their names."""

    name: str
    labels: tuple[tuple[str, str], ...]


Samples = Mapping[Key, float]

STARTED = Key("process_start_time_seconds", ())
"""When a process began, in seconds since the epoch."""

_KEYS: dict[Key, Key] = {}
"""One object for each series, however often it is scraped."""

_MOST_KEYS = 20_000


@dataclass(frozen=True)
class Process:
    """A process of the stack.

    Attributes:
        name: for readers.
        address: of its ``/metrics``.
    """

    name: str
    address: str


@dataclass(frozen=True)
class Scrape:
    """All processes at one moment.

    Attributes:
        at: seconds of the monotonic clock.
        wall_ms: milliseconds since the epoch.
        samples: by the address of each process that answered.
        away: name of each that did not -> why.
    """

    at: float
    wall_ms: float
    samples: Mapping[str, Samples]
    away: Mapping[str, str]


async def scrape(http: httpx.AsyncClient, processes: Sequence[Process]) -> Scrape:
    """Ask all processes at once.

    Args:
        http: client without credentials.
        processes: of the stack.
    """
    answers = await asyncio.gather(*(_read(http, process.address) for process in processes))
    samples = {
        each.address: found for each, found in zip(processes, answers, strict=True) if not isinstance(found, str)
    }
    away = {each.name: found for each, found in zip(processes, answers, strict=True) if isinstance(found, str)}
    return Scrape(time.monotonic(), time.time() * 1000, samples, away)


async def _read(http: httpx.AsyncClient, address: str) -> Samples | str:
    """The samples of a process, or why there are none."""
    try:
        async with http.stream("GET", address, timeout=_TIMEOUT_S) as response:
            response.raise_for_status()
            content = bytearray()
            async for part in response.aiter_bytes():
                content += part
                if len(content) > _MOST_BYTES:
                    return f"its metrics have more than {_MOST_BYTES >> 20} MiB"
        return parse(content.decode())
    except httpx.HTTPStatusError as error:
        return f"it answers {error.response.status_code}"
    except httpx.HTTPError as error:
        return str(error) or type(error).__name__
    except ValueError:
        return "its metrics cannot be read"


def parse(text: str) -> Samples:
    """The samples of Winnow in Prometheus' text format.

    Raises:
        ValueError: it is something else.
    """
    if len(_KEYS) > _MOST_KEYS:
        _KEYS.clear()
    found: dict[Key, float] = {}
    for family in text_string_to_metric_families(text):
        if family.name.startswith(_PREFIX) or family.name == STARTED.name:
            for sample in family.samples:
                key = Key(sample.name, tuple(sorted(sample.labels.items())))
                found[_KEYS.setdefault(key, key)] = sample.value
    return found
