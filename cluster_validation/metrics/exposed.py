"""``python -m cluster_validation.metrics.exposed``: print the series that Winnow's servers expose, as JSON."""

import json
import pkgutil
import sys
from importlib import import_module

from prometheus_client import REGISTRY

_SERVERS = ("recommender_transformer", "bloom_sidecar")


def exposed() -> dict[str, str]:
    """Unit by name of every series in the code's registry; empty for counts."""
    for package in _SERVERS:
        for module in pkgutil.walk_packages(import_module(package).__path__, f"{package}."):
            if not module.name.endswith("__main__"):
                import_module(module.name)
    found = {}
    for family in REGISTRY.collect():
        unit = next((unit for unit in ("seconds", "bytes") if family.name.endswith(f"_{unit}")), "")
        match family.type:
            case "counter":
                found[f"{family.name}_total"] = unit
            case "histogram":
                found |= {f"{family.name}_bucket": unit, f"{family.name}_sum": unit, f"{family.name}_count": ""}
            case _:
                found[family.name] = unit
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(exposed()))
