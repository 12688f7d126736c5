"""``python -m validation``: render every overlay and check all of it; what cannot be checked here is said aloud."""

import sys
from collections.abc import Callable, Iterator
from functools import partial

from validation import (
    apiserver,
    charts,
    feedback,
    gpu,
    links,
    metrics,
    policies,
    release,
    routes,
    rules,
    schemas,
    security,
)
from validation.objects import Finding, Objects, ToolMissing, overlays, render
from validation.workloads import kserve_traps

CHECKS: dict[str, Callable[[Objects], Iterator[Finding]]] = {
    "schemas": schemas.check,
    "KServe": kserve_traps,
    "links": links.check,
    "routes": routes.check,
    "GPU": gpu.check,
    "security": security.check,
    "release": release.check,
    "feedback": feedback.check,
    "metrics": metrics.check,
    "rules": rules.check,
}


def main() -> int:
    """Returns 1 if anything is wrong."""
    wrong = 0
    rendered: dict[str, Objects] = {}
    for overlay in overlays():
        try:
            rendered[overlay] = render(overlay)
        except ToolMissing as missing:
            sys.stdout.write(f"SKIPPED everything: {missing}\n")
            return 0
        for name, check in CHECKS.items():
            wrong += _tell(overlay, name, partial(check, rendered[overlay]))
        sys.stdout.write(f"{overlay}: {len(rendered[overlay].all)} objects\n")
    wrong += _tell("all", "charts", charts.check)
    wrong += _tell("all", "rendered charts", charts.check_rendered)
    wrong += _tell("all", "policies", partial(policies.check, rendered.items()))
    wrong += _tell("all", "API server", partial(_by_an_api_server, rendered))
    sys.stdout.write(f"{wrong} findings\n" if wrong else "nothing is wrong\n")
    return int(wrong > 0)


def _by_an_api_server(rendered: dict[str, Objects]) -> Iterator[Finding]:
    with apiserver.api_server() as server:
        yield from apiserver.check(server, rendered)


def _tell(where: str, name: str, check: Callable[[], Iterator[Finding]]) -> int:
    """Say what a check finds; returns how much that is."""
    found = 0
    try:
        for finding in check():
            found += 1
            sys.stdout.write(f"{where}: {finding}\n")
    except ToolMissing as missing:
        sys.stdout.write(f"{where}: SKIPPED {name}: {missing}\n")
    return found


if __name__ == "__main__":
    sys.exit(main())
