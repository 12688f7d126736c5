"""The sidecar's tests, once more on a Redis Cluster: nothing lost, nothing twice."""

import importlib.util
import sys
from pathlib import Path

FILES = ("conftest", "test_sidecar", "test_trending", "test_rebuild")

LEFT_OUT = {"test_two_sidecars_one_killed"}
"""It brings a Redis of its own."""

for stem in FILES:
    name = f"cluster_sidecar_{stem}"
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[1] / "sidecar" / f"{stem}.py")
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    globals().update({key: value for key, value in vars(module).items() if key not in LEFT_OUT and key[:2] != "__"})
