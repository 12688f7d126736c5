"""The sidecar as a process of its own, and the smallest release that it reads."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.support.sidecar.event_producer import ITEMS
from tests.support.until import until
from winnow import release as releases
from winnow.items.arrays import id_arrays
from winnow.local.processes import http_ok
from winnow.release import Release
from winnow.schema import NUMERIC_FEATURES, Feature, FeatureSchema

USERS, LOGGED = 20, 1200

SCHEMA = FeatureSchema(
    item=(
        Feature(name="category", kind="categorical", cardinality=5),
        *(Feature(name=name, kind="numeric") for name in NUMERIC_FEATURES),
    ),
    user=(),
    events=("view", "buy", "watch", "dislike"),
    event_values=(1.0, 4.0, 2.0, -5.0),
    event_windows_ms=(86_400_000,) * 4,
    event_full_amounts=(0.0, 0.0, 30.0, 0.0),
    conversions=("buy",),
)
CATEGORIES = ["", "books", "games", "music", "toys"]


def small_release(folder: Path, number: int) -> Release:
    """Write a release of random arrays with what publication and the sidecar read."""
    rng = np.random.default_rng(number)
    rows = np.zeros(ITEMS + 1, SCHEMA.item_dtype)
    rows["index"] = np.arange(ITEMS + 1)
    rows["categorical"][1:, 0] = rng.integers(1, 5, ITEMS)
    user_rows = np.zeros(USERS, SCHEMA.user_dtype)
    user_rows["index"] = np.arange(USERS)
    user = np.sort(rng.integers(0, USERS, LOGGED))
    return releases.write(
        folder / str(number),
        {
            **id_arrays(["", *(f"item-{index}" for index in range(1, ITEMS + 1))]),
            "user_ids": np.array([f"user-{index}" for index in range(USERS)]),
            "item_rows": rows,
            "user_rows": user_rows,
            "offsets": np.searchsorted(user, np.arange(USERS + 1)).astype(np.int64),
            "item": rng.integers(1, ITEMS + 1, LOGGED).astype(np.int32),
            "event": rng.integers(1, len(SCHEMA.events) + 1, LOGGED).astype(np.int32),
            "grade": rng.random(LOGGED).astype(np.float32),
            "timestamp": 1_700_000_000_000 + np.arange(LOGGED, dtype=np.int64) * 60_000,
            "popular": (rng.permutation(ITEMS)[:100] + 1).astype(np.int32),
        },
        {"schema.json": SCHEMA.model_dump_json(), "vocabularies.json": json.dumps({"category": CATEGORIES})},
        number=number,
        dataset=f"tiny-{number}",
        source=releases.BuildInputs(),
        holdout="none",
        as_of=1_700_000_000_000 + LOGGED * 60_000,
        history_length=20,
        candidates={},
        schema_digest=SCHEMA.digest,
        models={},
        parity={},
    )


def start_sidecar(release: Release, redis_url: str, folder: Path, port: int, *options: str) -> subprocess.Popen[bytes]:
    """Start a sidecar and wait until it is ready; its log is written to ``folder``."""
    command = [sys.executable, "-m", "bloom_sidecar", f"--release-dir={release.folder}", "--health-host=127.0.0.1"]
    environment = {**os.environ, "REDIS_URL": redis_url}
    with (folder / f"sidecar-{port}.log").open("wb") as log:
        process = subprocess.Popen([*command, f"--health-port={port}", *options], env=environment, stderr=log)
    until(lambda: http_ok(port, "/ready"))
    return process
