"""``python -m tests.support.serve_tiny FOLDER REDIS_URL HTTP_PORT GRPC_PORT [SETTINGS]``: serve a tiny release.

The models are the NumPy ones. Settings are JSON: ``delay_s`` and ``broken`` of the models; ``max_in_flight``,
``drain_s``, ``reuse_s`` (0 by default, so that every answer is computed), ``limits`` (of events) and ``bounds`` (of
connections); ``experiments`` and ``access``, files; ``constants`` replaces constants of the transformer's modules, by
dotted names.
"""

import importlib
import json
import sys
from pathlib import Path

import numpy as np

from recommender_transformer.__main__ import serve
from recommender_transformer.serving.access.control import AccessControl
from recommender_transformer.serving.connections.connection_limits import ConnectionLimits
from tests.support.fake_models import NumpyModels
from winnow.feedback.append import AppendOptions
from winnow.release import Release
from winnow.settings.experiments import read


def main() -> None:
    """Serve until the process is terminated."""
    folder, redis_url, http_port, grpc_port, *given = sys.argv[1:]
    settings = {"drain_s": 0.0, "reuse_s": 0.0} | (json.loads(given[0]) if given else {})
    release = Release.open(Path(folder))
    models = NumpyModels(
        np.asarray(release.array("item_vectors")), settings.pop("delay_s", {}), set(settings.pop("broken", ()))
    )
    if "limits" in settings:
        settings["event_limits"] = AppendOptions(*settings.pop("limits"))
    if "experiments" in settings:
        settings["experiments"] = read(Path(settings["experiments"]), release.schema.events)
    if "access" in settings:
        settings["access"] = AccessControl(Path(settings["access"]), redis_url)
    if "bounds" in settings:
        settings["connection_limits"] = ConnectionLimits(*settings.pop("bounds"))
    for name, value in settings.pop("constants", {}).items():
        module, _, constant = name.rpartition(".")
        owner = importlib.import_module(module)
        if not hasattr(owner, constant):
            raise AttributeError(f"{module} has no {constant} to replace")
        setattr(owner, constant, value)
    serve(
        release,
        redis_url,
        lambda: models,
        deadline_ms=2000,
        http_port=int(http_port),
        grpc_port=int(grpc_port),
        **settings,
    )


if __name__ == "__main__":
    main()
