"""``python -m benchmarks units FILE``: measure this machine's per-unit figures for ``winnow plan --units FILE``.

Figures that need what this machine lacks (a GPU, a served release) are kept from the shipped file.
"""

import math
import os
import platform
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml

from benchmarks.common.rows import Row, row
from benchmarks.common.stack import newest
from benchmarks.scale import process_memory, request_cost, store_memory
from export.triton.version import MODEL_FILE
from winnow import home, release
from winnow.planning import units
from winnow.release import Release
from winnow.signatures import RETRIEVER

_HEAD = "# Per-unit figures for `winnow plan --units`, written by `python -m benchmarks units`.\n"


def measure(path: Path) -> list[Row]:
    """Measure, write the file, and list the figures that changed.

    Args:
        path: the file to write.

    Raises:
        WinnowError: the newest release could not be served.
    """
    before = yaml.safe_load(units.FILE.read_text())
    found = _memory()
    if release.latest(home.releases()) is not None:
        found |= _served(newest())
    described = {name: _described(before[name], value) for name, value in found.items()}
    path.write_text(_HEAD + yaml.safe_dump(before | described, sort_keys=False, width=118))
    units.load(path)
    return [_row(name, before[name], value) for name, value in found.items()]


def _memory() -> dict[str, Any]:
    """Name -> figure, of memory: of Redis and of processes that load what grows with the items."""
    item, item_more = store_memory.item_bytes()
    users = store_memory.user_bytes()
    event, append_us = store_memory.events()
    impression, impression_us = store_memory.impressions()
    few, many = process_memory.FEW, process_memory.MANY
    slopes = [
        (each(many) - each(few)) / (many - few) for each in (process_memory.graph_bytes, process_memory.catalog_bytes)
    ]
    return {
        "redis_item_bytes": item,
        "redis_item_more_bytes": item_more,
        "redis_user_bytes": [[events, round(first, 1)] for events, first, _ in users],
        "redis_user_more_bytes": [[events, round(more, 1)] for events, _, more in users],
        "redis_event_bytes": event,
        "redis_impression_bytes": impression,
        "redis_append_us": append_us,
        "redis_impression_us": impression_us,
        "retriever_item_bytes": slopes[0],
        "transformer_item_bytes": slopes[1],
    }


def _served(served: Release) -> dict[str, Any]:
    """Name -> figure, of the newest release: CPU of its stack, and bytes of its folder."""
    cost = request_cost.measure()
    users, events = len(served.array("user_ids")), len(served.array("item"))
    sizes = _sizes(served)
    of_users, of_events = {"user_ids", "user_rows", "user_order", "offsets"}, {"item", "event", "timestamp", "grade"}

    def size_of(names: Collection[str]) -> int:
        return sum(size for name, size in sizes.items() if name in names)

    return {
        "redis_request_us": 1000 * cost.request_ms["redis"],
        "redis_event_us": 1000 * cost.event_ms["redis"],
        "transformer_request_ms": cost.request_ms["transformer"],
        "transformer_event_ms": cost.event_ms["transformer"],
        "transformer_bytes": cost.resident["transformer"],
        "transformer_tables_bytes": _tables(served),
        "sidecar_event_ms": cost.event_ms["bloom sidecar"],
        "sidecar_bytes": cost.resident["bloom sidecar"],
        "triton_request_ms": cost.request_ms["triton"],
        "triton_bytes": cost.resident["triton"],
        "further_copies": _further_copies(served),
        "release_item_bytes": size_of(sizes.keys() - of_users - of_events - {"holdout"}) / served.items,
        "release_user_bytes": size_of(of_users) / users,
        "release_event_bytes": size_of(of_events) / events,
    }


def _tables(served: Release) -> float:
    """Bytes per item that requests map besides the catalog: neighbours, columns, orders, identities."""
    held = ("nearest", "neighbour", "column_", "order_", "item_identity")
    return sum(size for name, size in _sizes(served).items() if name.startswith(held)) / served.items


def _sizes(served: Release) -> dict[str, int]:
    """Name -> bytes of the release's arrays."""
    names = [name.removesuffix(".npy") for name in served.manifest.files if name.endswith(".npy")]
    return {name: served.array(name).nbytes for name in names}


def _further_copies(served: Release) -> int:
    """Copies of the item vectors inside the graphs other than the retriever's."""
    items, width = served.array("item_vectors").shape
    copies = 0
    for name in served.manifest.models:
        path = home.model_repository(served.manifest.number) / name / str(served.manifest.number) / MODEL_FILE
        for tensor in onnx.load(path, load_external_data=False).graph.initializer:
            holds = len(tensor.dims) == 2 and width in tensor.dims and math.prod(tensor.dims) >= (items - 1) * width
            copies += name != RETRIEVER.name and holds and tensor.data_location != onnx.TensorProto.EXTERNAL
    return copies


def _described(before: dict[str, Any], value: Any) -> dict[str, Any]:
    number = {"points": value} if isinstance(value, list) else {"value": float(f"{value:.4g}")}
    kept = {name: text for name, text in before.items() if name not in ("points", "value")}
    return number | kept | {"kind": "measured", "machine": _machine()}


def _row(name: str, before: dict[str, Any], value: Any) -> Row:
    if isinstance(value, list):
        size, number = value[np.searchsorted([point[0] for point in value], 30)]
        return row(f"{name} at {size:g}", number, before["unit"])
    return row(name, value, before["unit"])


def _machine() -> str:
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
