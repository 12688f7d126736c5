"""Charts rendered by helm with our values: roles, objects, images, and values that a chart does not know."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from cluster_validation.charts.installed import installed, numbers, sources, values
from cluster_validation.manifests.objects import EKS, TOOLS, Finding, Object, ToolMissing, title
from cluster_validation.schemas.core import KUBERNETES

CHARTS = TOOLS / "charts"
"""The charts that `make -C eks charts` downloads, one folder per release."""


def check_rendered() -> Iterator[Finding]:
    """Check every downloaded chart: its version, unknown values, and the objects that it renders.

    Raises:
        ToolMissing: helm or a chart is missing; the downloaded charts have been checked by then.
    """
    helm = TOOLS / "helm"
    if not helm.exists():
        raise ToolMissing("helm is not in .tools: `make tools` builds it with Go")
    missing = []
    for chart in installed().values():
        folder = CHARTS / chart.release
        if not folder.is_dir():
            missing.append(chart.release)
            continue
        found = yaml.safe_load((folder / "Chart.yaml").read_text())["version"]
        # A chart from a checkout of its source has the version 0.0.0.
        if numbers(found)[:3] not in (chart.numbers, (0, 0, 0)):
            yield Finding("charts", chart.release, f".tools/charts has {found}, charts.txt {chart.version}")
        for where in _unknown(values(chart.release), yaml.safe_load((folder / "values.yaml").read_text()) or {}):
            yield Finding(f"values/{chart.release}.yaml", where, "the chart has no such value")
        yield from _lacking(sources().get(chart.release, {}), chart.release, rendered(chart.release))
    if missing:
        raise ToolMissing(f"{', '.join(missing)}: not in .tools/charts: `make -C eks charts` downloads them")


def rendered(release: str) -> list[Object]:
    """Render a chart with its values.

    Raises:
        RuntimeError: helm refuses the chart or the values; the message is helm's.
    """
    command: list[str | Path] = [TOOLS / "helm", "template", release, CHARTS / release, "--include-crds"]
    command += ["--namespace", installed()[release].namespace, "--kube-version", f"{KUBERNETES}.0"]
    command += ["--values", EKS / "values" / f"{release}.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)  # noqa: S603
    if done.returncode:
        raise RuntimeError(f"{release}: {done.stderr.strip()}")
    return [each for each in yaml.load_all(done.stdout, yaml.CSafeLoader) if each]


def granted(objects: list[Object]) -> set[tuple[str, str, str]]:
    """API group, resource and verb of everything that ClusterRoles allow regardless of an object's name."""
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


def _lacking(source: Mapping[str, Any], release: str, objects: list[Object]) -> Iterator[Finding]:
    allowed = granted(objects)
    for group, resource, verb in source.get("rules", ()):
        if (group, resource, verb) not in allowed:
            yield Finding(release, "ClusterRole", f"does not allow to {verb} {resource} of {group or 'the core'}")
    titles = {title(each) for each in objects}
    for required in source.get("renders", ()):
        if required not in titles:
            yield Finding(release, "", f"renders no {required}")
    if "image" in source:
        images = re.findall(rf"{re.escape(source['image'])}:\S+?(?=['\"])", str(objects))
        for image in images or ["none"]:
            if f":v{KUBERNETES}." not in image:
                yield Finding(release, "image", f"{image} is not a version for Kubernetes {KUBERNETES}")


_OPEN = {"extraArgs", "resources", "nodeSelector"}
"""Values that accept more keys than a chart's defaults list."""


def _unknown(given: Mapping[str, Any], defaults: Mapping[str, Any], where: str = "") -> Iterator[str]:
    """Paths of values without a default in the chart; a value whose default is empty may hold anything."""
    for name, value in given.items():
        if name not in defaults:
            yield f"{where}{name}"
        elif isinstance(value, dict) and isinstance(defaults[name], dict) and defaults[name] and name not in _OPEN:
            yield from _unknown(value, defaults[name], f"{where}{name}.")
