"""Serve a tiny release with the numpy models: ``serve.py FOLDER REDIS_URL HTTP_PORT GRPC_PORT [SETTINGS]``.

Settings are JSON: ``delay_s`` and ``broken`` of the models; ``max_in_flight``, ``drain_s``, ``limits`` (of events) and
``bounds`` (of connections); ``patience`` gives times of its own to constants of the transformer, as ``module.NAME``.
"""

import importlib
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np

from recommender_transformer.__main__ import serve
from recommender_transformer.serving.connections.connection_limits import ConnectionLimits
from winnow.feedback.append import Limits
from winnow.release import Release

spec = importlib.util.spec_from_file_location("tiny", Path(__file__).with_name("conftest.py"))
tiny = importlib.util.module_from_spec(spec)
sys.modules["tiny"] = tiny
spec.loader.exec_module(tiny)

folder, redis_url, http_port, grpc_port, *given = sys.argv[1:]
settings = {"drain_s": 0.0} | (json.loads(given[0]) if given else {})
release = Release.open(Path(folder))
models = tiny.NumpyModels(
    np.asarray(release.array("item_vectors")), settings.pop("delay_s", {}), set(settings.pop("broken", ()))
)
if "limits" in settings:
    settings["event_limits"] = Limits(*settings.pop("limits"))
if "bounds" in settings:
    settings["connection_limits"] = ConnectionLimits(*settings.pop("bounds"))
for name, seconds in settings.pop("patience", {}).items():
    module, _, constant = name.rpartition(".")
    setattr(importlib.import_module(f"recommender_transformer.{module}"), constant, seconds)
serve(
    release, redis_url, lambda: models, deadline_ms=2000, http_port=int(http_port), grpc_port=int(grpc_port), **settings
)
