"""``python -m validation``: render every overlay and check all of it; what cannot be checked here is said aloud."""

import sys
from collections.abc import Callable, Iterator

from validation import links, metrics, release, rules, schemas, security
from validation.objects import Finding, Objects, ToolMissing, overlays, render
from validation.workloads import kserve_traps

CHECKS: dict[str, Callable[[Objects], Iterator[Finding]]] = {
    "schemas": schemas.check,
    "KServe": kserve_traps,
    "links": links.check,
    "security": security.check,
    "release": release.check,
    "metrics": metrics.check,
    "rules": rules.check,
}


def main() -> int:
    """Returns 1 if anything is wrong."""
    wrong = 0
    for overlay in overlays():
        try:
            objects = render(overlay)
        except ToolMissing as missing:
            sys.stdout.write(f"SKIPPED everything: {missing}\n")
            return 0
        for name, check in CHECKS.items():
            try:
                for finding in check(objects):
                    wrong += 1
                    sys.stdout.write(f"{overlay}: {finding}\n")
            except ToolMissing as missing:
                sys.stdout.write(f"{overlay}: SKIPPED {name}: {missing}\n")
        sys.stdout.write(f"{overlay}: {len(objects.all)} objects\n")
    sys.stdout.write(f"{wrong} findings\n" if wrong else "nothing is wrong\n")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
