"""The charts that ``eks/charts.txt`` installs: do their versions go together with this Kubernetes, and with our values?

What the charts' sources say is written down in ``charts.yaml``. Where helm and a chart itself are here (``make -C eks
charts``), the chart is rendered with our values as well.
"""

import re
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from validation.objects import MANIFESTS, TOOLS, Finding, Object, ToolMissing, title
from validation.schemas import KUBERNETES

EKS = MANIFESTS.parent / "eks"
CHARTS = TOOLS / "charts"
"""A folder for each release that was fetched."""

_READ = Path(__file__).with_suffix(".yaml")


class Chart(NamedTuple):
    """A line of ``charts.txt``.

    Attributes:
        release: what it is called in the cluster; its values are ``values/RELEASE.yaml``.
        namespace: where it goes.
        version: of the chart.
    """

    release: str
    namespace: str
    version: str

    @property
    def numbers(self) -> tuple[int, ...]:
        """The version, to be compared."""
        return _numbers(self.version)


def installed() -> dict[str, Chart]:
    """The charts by release."""
    lines = (EKS / "charts.txt").read_text().splitlines()
    charts = (Chart(*line.split()[:3]) for line in lines if line.strip() and not line.startswith("#"))
    return {chart.release: chart for chart in charts}


def check(charts: Mapping[str, Chart] | None = None) -> Iterator[Finding]:
    """Versions, against what was read of them.

    Args:
        charts: by default the installed ones.
    """
    charts = installed() if charts is None else charts
    for release, read in _said().items():
        chart = charts.get(release)
        if chart is None:
            yield Finding("charts.txt", release, "is not installed")
            continue
        minor = ".".join(map(str, chart.numbers[:2]))
        if "least" in read and chart.numbers < _numbers(read["least"][0]):
            yield Finding(
                "charts.txt", release, f"{chart.version} is older than {read['least'][0]}: {read['least'][1]}"
            )
        if "kubernetes" in read and KUBERNETES not in read["kubernetes"].get(minor, ()):
            yield Finding("charts.txt", release, f"{chart.version} is not said to support Kubernetes {KUBERNETES}")
        tag = _values(release).get("image", {}).get("tag", "")
        if "image" in read and not tag.startswith(f"v{KUBERNETES}."):
            yield Finding(f"values/{release}.yaml", "image.tag", f"{tag!r} is not of Kubernetes {KUBERNETES}")


def check_rendered() -> Iterator[Finding]:
    """Those charts that are here, rendered with our values: rights, what else they bring, and values they do not know.

    Raises:
        ToolMissing: helm or a chart is not here; those that are have been checked by then.
    """
    helm = TOOLS / "helm"
    if not helm.exists():
        raise ToolMissing("helm is not in .tools (`make tools`), so no chart is rendered")
    missing = []
    for chart in installed().values():
        folder = CHARTS / chart.release
        if not folder.is_dir():
            missing.append(chart.release)
            continue
        found = yaml.safe_load((folder / "Chart.yaml").read_text())["version"]
        # A checkout of a project's source says 0.0.0: its releases are numbered when they are made.
        if _numbers(found)[:3] not in (chart.numbers, (0, 0, 0)):
            yield Finding("charts", chart.release, f".tools/charts has {found}, charts.txt says {chart.version}")
        for where in _unknown(_values(chart.release), yaml.safe_load((folder / "values.yaml").read_text()) or {}):
            yield Finding(f"values/{chart.release}.yaml", where, "is nothing that the chart knows")
        yield from _lacking(_said().get(chart.release, {}), chart.release, rendered(chart.release))
    if missing:
        raise ToolMissing(f"{', '.join(missing)}: not in .tools/charts (`make -C eks charts` fetches them)")


def rendered(release: str) -> list[Object]:
    """The objects that a chart makes of our values.

    Raises:
        RuntimeError: helm refuses the chart or the values; the message is its own.
    """
    command: list[str | Path] = [TOOLS / "helm", "template", release, CHARTS / release, "--include-crds"]
    told: list[str | Path] = ["--namespace", installed()[release].namespace, "--kube-version", f"{KUBERNETES}.0"]
    values: list[str | Path] = ["--values", EKS / "values" / f"{release}.yaml"]
    done = subprocess.run([*command, *told, *values], capture_output=True, text=True, timeout=120)  # noqa: S603
    if done.returncode:
        raise RuntimeError(f"{release}: {done.stderr.strip()}")
    return [each for each in yaml.load_all(done.stdout, yaml.CSafeLoader) if each]


def granted(objects: list[Object]) -> set[tuple[str, str, str]]:
    """API group, resource and verb of everything that the ClusterRoles among some objects allow by any name."""
    return {
        (group, resource, verb)
        for each in objects
        if each["kind"] == "ClusterRole"
        for rule in each.get("rules") or ()
        if not rule.get("resourceNames")
        for group in rule.get("apiGroups", ())
        for resource in rule.get("resources", ())
        for verb in rule["verbs"]
    }


def _lacking(read: Mapping[str, Any], release: str, objects: list[Object]) -> Iterator[Finding]:
    allowed = granted(objects)
    for group, resource, verb in read.get("rules", ()):
        if (group, resource, verb) not in allowed:
            yield Finding(release, "ClusterRole", f"does not allow to {verb} {resource} of {group or 'the core'}")
    titles = {title(each) for each in objects}
    for wanted in read.get("brings", ()):
        if wanted not in titles:
            yield Finding(release, "", f"brings no {wanted}")
    if "image" in read:
        images = re.findall(rf"{re.escape(read['image'])}:\S+?(?=['\"])", str(objects))
        for image in images or ["none"]:
            if f":v{KUBERNETES}." not in image:
                yield Finding(release, "image", f"{image} is not of Kubernetes {KUBERNETES}")


_OPEN = {"extraArgs", "resources", "nodeSelector"}
"""Values that take more than a chart's defaults name."""


def _unknown(ours: Mapping[str, Any], known: Mapping[str, Any], where: str = "") -> Iterator[str]:
    """The values that a chart has no default of; what it has an empty one of may hold anything."""
    for name, value in ours.items():
        if name not in known:
            yield f"{where}{name}"
        elif isinstance(value, dict) and isinstance(known[name], dict) and known[name] and name not in _OPEN:
            yield from _unknown(value, known[name], f"{where}{name}.")


def _values(release: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((EKS / "values" / f"{release}.yaml").read_text())
    return found


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:3]))


@cache
def _said() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(_READ.read_text())
    return found
