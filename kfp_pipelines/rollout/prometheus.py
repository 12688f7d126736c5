"""What a chain did in a span of time, as counts from Prometheus."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import httpx

from winnow.errors import WinnowError

_TIMEOUT_S = 20.0

_LATENCY = "sum by (chain, degraded, le) (increase(winnow_request_seconds_bucket{{{chains}}}[{span}]))"
_FAILED = "sum by (chain) (increase(winnow_failed_total{{{chains}}}[{span}]))"
_REFUSED = "sum by (chain) (increase(winnow_refused_total{{{chains}}}[{span}]))"
_LIKED = 'sum by (chain) (increase(winnow_reactions_total{{{chains}, value="positive"}}[{span}]))'


class NoMetrics(WinnowError):
    """Prometheus does not answer, or refuses a query: judge later."""


@dataclass(frozen=True)
class Counts:
    """What one chain did.

    Attributes:
        answered: recommendations.
        degraded: those with a fallback.
        failed: requests that ended in an error of the server, or were refused because too many were in flight.
        within: upper bound of the latency in seconds -> number of recommendations within it.
        liked: events of types with a positive value.
    """

    answered: float = 0.0
    degraded: float = 0.0
    failed: float = 0.0
    within: Mapping[float, float] = field(default_factory=dict)
    liked: float = 0.0


class Prometheus:
    """A Prometheus server that scrapes the chains.

    Args:
        address: its base URL.
    """

    def __init__(self, address: str) -> None:
        self._address = address.rstrip("/")

    def counts(self, chain: str, begin: datetime, end: datetime) -> Counts:
        """What a chain did between two times.

        Prometheus' ``increase`` adds up the series of all pods, of those that have ended too, and extrapolates to the
        ends of the span, so counts are not whole numbers.

        Args:
            chain: its name.
            begin: start of the span.
            end: end of the span, now or earlier.

        Raises:
            NoMetrics: Prometheus does not answer, or refuses a query.
        """
        seconds = max(1, math.ceil((end - begin).total_seconds()))
        given = {"chains": f'chain="{chain}"', "span": f"{seconds}s"}
        within: dict[float, float] = {}
        degraded = 0.0
        for labels, value in self._ask(_LATENCY.format(**given), end):
            bound = float(labels["le"])
            within[bound] = within.get(bound, 0.0) + value
            if labels["degraded"] == "yes" and math.isinf(bound):
                degraded += value
        failed, refused, liked = (
            sum(value for _, value in self._ask(query.format(**given), end)) for query in (_FAILED, _REFUSED, _LIKED)
        )
        return Counts(within.get(math.inf, 0.0), degraded, failed + refused, within, liked)

    def _ask(self, query: str, at: datetime) -> list[tuple[dict[str, str], float]]:
        """Labels and value of every series of an instant query."""
        try:
            response = httpx.get(
                f"{self._address}/api/v1/query",
                params={"query": query, "time": f"{at.timestamp():.3f}"},
                timeout=_TIMEOUT_S,
            )
            document = response.json()
            if document["status"] != "success":
                raise NoMetrics(f"Prometheus at {self._address} refuses {query}: {document.get('error')}")
            found = [(each["metric"], float(each["value"][1])) for each in document["data"]["result"]]
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise NoMetrics(
                f"Prometheus at {self._address} does not answer: {' '.join(str(error).split())[:200]}"
            ) from error
        return [(labels, value) for labels, value in found if math.isfinite(value)]
