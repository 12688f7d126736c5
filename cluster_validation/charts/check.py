"""Versions of charts: do they support the cluster's Kubernetes?"""

from collections.abc import Iterator, Mapping

from cluster_validation.charts.installed import Chart, installed, numbers, sources, values
from cluster_validation.manifests.objects import Finding
from cluster_validation.schemas.core import KUBERNETES


def check(charts: Mapping[str, Chart] | None = None) -> Iterator[Finding]:
    """Compare the versions of charts with the facts in ``sources.yaml``.

    Args:
        charts: charts by release; by default those of ``charts.txt``.
    """
    charts = installed() if charts is None else charts
    for release, source in sources().items():
        chart = charts.get(release)
        if chart is None:
            yield Finding("charts.txt", release, "is not installed")
            continue
        minor = ".".join(map(str, chart.numbers[:2]))
        if "least" in source and chart.numbers < numbers(source["least"][0]):
            yield Finding(
                "charts.txt", release, f"{chart.version} is older than {source['least'][0]}: {source['least'][1]}"
            )
        if "kubernetes" in source and KUBERNETES not in source["kubernetes"].get(minor, ()):
            yield Finding(
                "charts.txt",
                release,
                f"sources.yaml does not list Kubernetes {KUBERNETES} as supported by {chart.version}",
            )
        tag = values(release).get("image", {}).get("tag", "")
        if "image" in source and not tag.startswith(f"v{KUBERNETES}."):
            yield Finding(
                f"values/{release}.yaml", "image.tag", f"{tag!r} is not a version for Kubernetes {KUBERNETES}"
            )
