"""``python -m cluster_validation``: render every overlay and run all checks; prints findings and skipped checks."""

import sys
from collections.abc import Callable, Iterator
from functools import partial

from cluster_validation.api_server import check as api_server_check
from cluster_validation.api_server.server import api_server
from cluster_validation.charts import check as charts
from cluster_validation.charts import rendered as rendered_charts
from cluster_validation.checks import access, feedback, gpu, kserve, links, release, routes
from cluster_validation.manifests.objects import Finding, Objects, ToolMissing, add_ons, outside, overlays, render
from cluster_validation.metrics import check as metrics
from cluster_validation.metrics import rules
from cluster_validation.policies import checkov, pods
from cluster_validation.schemas import check as schemas

CHECKS: dict[str, Callable[[Objects], Iterator[Finding]]] = {
    "schemas": schemas.check,
    "KServe": kserve.check,
    "links": links.check,
    "routes": routes.check,
    "GPU": gpu.check,
    "security": pods.check,
    "release": release.check,
    "feedback": feedback.check,
    "access": access.check,
    "metrics": metrics.check,
    "rules": rules.check,
}
"""The checks of one overlay, by name."""

ADD_ONS = "eks/manifests"


def main() -> int:
    """Run all checks and print their findings.

    Returns:
        1 if there is a finding, else 0.
    """
    count = 0
    rendered: dict[str, Objects] = {}
    for overlay in overlays():
        try:
            rendered[overlay] = render(overlay)
        except ToolMissing as missing:
            sys.stdout.write(f"SKIPPED all checks: {missing}\n")
            return 0
        for name, check in CHECKS.items():
            count += _report(overlay, name, partial(check, rendered[overlay]))
        sys.stdout.write(f"{overlay}: {len(rendered[overlay].all)} objects\n")
    on_eks = Objects(add_ons(), outside())
    count += _report(ADD_ONS, "schemas", partial(schemas.check, on_eks))
    sys.stdout.write(f"{ADD_ONS}: {len(on_eks.all)} objects\n")
    count += _report("all", "charts", charts.check)
    count += _report("all", "rendered charts", rendered_charts.check_rendered)
    count += _report("all", "policies", partial(checkov.check, rendered.items()))
    count += _report("all", "API server", partial(_by_api_server, rendered | {ADD_ONS: on_eks}))
    sys.stdout.write(f"findings: {count}\n")
    return int(count > 0)


def _by_api_server(rendered: dict[str, Objects]) -> Iterator[Finding]:
    with api_server() as server:
        yield from api_server_check.check(server, rendered)


def _report(subject: str, name: str, check: Callable[[], Iterator[Finding]]) -> int:
    """Print a check's findings, or that it is skipped; returns the number of findings."""
    count = 0
    try:
        for finding in check():
            count += 1
            sys.stdout.write(f"{subject}: {finding}\n")
    except ToolMissing as missing:
        sys.stdout.write(f"{subject}: SKIPPED {name}: {missing}\n")
    return count


if __name__ == "__main__":
    sys.exit(main())
