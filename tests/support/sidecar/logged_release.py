"""A release of a given log, for tests of the state that releases of one data set share."""

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.sidecar.process import SCHEMA
from winnow import release as releases
from winnow.items.arrays import id_arrays
from winnow.release import BuildInputs, Holdout, Release

Log = Mapping[str, Sequence[tuple[str, int, int]]]
"""User -> item, event code and timestamp of each event, oldest first."""

_numbers = itertools.count(9101)


def write(
    folder: Path,
    dataset: str,
    log: Log,
    more: Mapping[str, str] = {},
    holdout: Holdout = "none",
    events: Sequence[str] = SCHEMA.events,
    **source: Any,
) -> Release:
    """Write a release of this log; its items are ``a`` to ``e`` of category ``c``, and ``more`` (item -> category)."""
    number = next(_numbers)
    catalog = {**dict.fromkeys("abcde", "c"), **more}
    names = ["", *catalog]
    vocabulary = ["", *sorted(set(catalog.values()) - {""})]
    rows = np.zeros(len(names), SCHEMA.item_dtype)
    rows["index"] = np.arange(len(names))
    rows["categorical"][1:, 0] = [vocabulary.index(category) for category in catalog.values()]
    user_rows = np.zeros(len(log), SCHEMA.user_dtype)
    user_rows["index"] = np.arange(len(log))
    flat = [event for of_user in log.values() for event in of_user]
    schema = SCHEMA.model_copy(update={"events": tuple(events)})
    return releases.write(
        folder / str(number),
        {
            **id_arrays(names),
            "user_ids": np.array(list(log), np.str_),
            "item_rows": rows,
            "user_rows": user_rows,
            "offsets": np.cumsum([0, *map(len, log.values())]).astype(np.int64),
            "item": np.array([names.index(item) for item, _, _ in flat], np.int32),
            "event": np.array([code for _, code, _ in flat], np.int32),
            "grade": np.ones(len(flat), np.float32),
            "timestamp": np.array([when for _, _, when in flat], np.int64),
            "popular": np.arange(1, len(names), dtype=np.int32),
        },
        {"schema.json": schema.model_dump_json(), "vocabularies.json": json.dumps({"category": vocabulary})},
        number=number,
        dataset=dataset,
        source=BuildInputs(**source),
        holdout=holdout,
        as_of=10**12,
        history_length=20,
        candidates={},
        schema_digest=schema.digest,
        models={},
        parity={},
    )
