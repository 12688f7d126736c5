"""The charts of ``eks/charts.txt``, their values, and the facts about their sources in ``sources.yaml``."""

import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from cluster_validation.manifests.objects import EKS

_SOURCES = Path(__file__).with_name("sources.yaml")


class Chart(NamedTuple):
    """A line of ``charts.txt``.

    Attributes:
        release: name of the release in the cluster; its values are ``values/RELEASE.yaml``.
        namespace: namespace of the release.
        version: version of the chart.
    """

    release: str
    namespace: str
    version: str

    @property
    def numbers(self) -> tuple[int, ...]:
        """The version as numbers, for comparisons."""
        return numbers(self.version)


def installed() -> dict[str, Chart]:
    """The charts by name of their release."""
    lines = (EKS / "charts.txt").read_text().splitlines()
    charts = (Chart(*line.split()[:3]) for line in lines if line.strip() and not line.startswith("#"))
    return {chart.release: chart for chart in charts}


def values(release: str) -> dict[str, Any]:
    """The values of a release."""
    found: dict[str, Any] = yaml.safe_load((EKS / "values" / f"{release}.yaml").read_text())
    return found


def numbers(version: str) -> tuple[int, ...]:
    """The first three numbers of a version."""
    return tuple(map(int, re.findall(r"\d+", version)[:3]))


@cache
def sources() -> dict[str, dict[str, Any]]:
    """Facts about the charts' sources, by name of the release."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(_SOURCES.read_text())
    return found
