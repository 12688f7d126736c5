"""Serve a tiny release with the numpy models: ``serve.py FOLDER REDIS_URL HTTP_PORT GRPC_PORT [LIMITS]``."""

import importlib.util
import sys
from pathlib import Path

import numpy as np

from recommender_transformer.__main__ import serve
from winnow.release import Release
from winnow.store.append import Limits

spec = importlib.util.spec_from_file_location("tiny", Path(__file__).with_name("conftest.py"))
tiny = importlib.util.module_from_spec(spec)
sys.modules["tiny"] = tiny
spec.loader.exec_module(tiny)

folder, redis_url, http_port, grpc_port, *limits = sys.argv[1:]
release = Release.open(Path(folder))
models = tiny.NumpyModels(np.asarray(release.array("item_vectors")))
serve(
    release,
    redis_url,
    lambda: models,
    deadline_ms=2000,
    http_port=int(http_port),
    grpc_port=int(grpc_port),
    limits=Limits(*map(int, limits)),
)
