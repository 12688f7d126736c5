"""The funnel's tests, once more on a Redis Cluster: the same answers, the same freshness."""

import importlib.util
import sys
from pathlib import Path

FILES = ("conftest", "test_store", "test_pipeline", "test_fresh", "test_recent")

LEFT_OUT = {"test_a_user_costs_one_round_trip", "test_redis_heals_by_itself"}
"""One counts what a server reads, and the nodes of a cluster read each other all the time. The other pauses one server;
there is a test that pauses all of them."""

for stem in FILES:
    name = f"cluster_funnel_{stem}"
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[1] / "funnel" / f"{stem}.py")
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    globals().update({key: value for key, value in vars(module).items() if key not in LEFT_OUT and key[:2] != "__"})
