"""The collection of a release: its name, its fields, its index, and the expression of a filter.

The collection ``winnow_rN_DIGEST`` has a row per item. The alias ``winnow_rN`` is set when the collection is complete:
a release is in Milvus when its alias names its own collection.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from winnow.release import Release
from winnow.signatures import USER_TOWER

if TYPE_CHECKING:
    from pymilvus import CollectionSchema, MilvusClient
    from pymilvus.milvus_client import IndexParams

VECTOR = "vector"
"""Field of the item's vector."""

_ID, _AVAILABLE = "id", "available"
_NAME = re.compile(r"winnow_r(\d+)_[0-9a-f]{12}")

_LINKS, _BUILD_WIDTH = 32, 256
"""Of an HNSW index: neighbours of a vector per layer, and candidates for them while it is built."""

_TIMEOUT_S = 10.0

_WIDTH = 2
"""Candidates that a search of an HNSW index considers, as a multiple of the items that it returns."""


def is_searched(release: Release) -> bool:
    """Whether the release's items are searched in Milvus: then it has a user tower in place of the retriever."""
    return USER_TOWER.name in release.manifest.models


def alias(number: int) -> str:
    """The alias of release ``number``."""
    return f"winnow_r{number}"


def collection_name(release: Release) -> str:
    """The name of a release's collection."""
    return f"{alias(release.manifest.number)}_{release.digest[:12]}"


def number_of(name: str) -> int | None:
    """The release whose collection has this name; ``None`` if it is none of Winnow's."""
    matched = _NAME.fullmatch(name)
    return int(matched[1]) if matched else None


def schema(client: "MilvusClient", dimension: int, width: int) -> "CollectionSchema":
    """The fields: the item's index as primary key, its vector, its category codes and whether it is available.

    Args:
        client: a client.
        dimension: width of the vectors.
        width: columns of the category in an item row. Each is a field of its own: Milvus Lite evaluates a condition on
            an array in Python, which takes ten times as long.
    """
    from pymilvus import DataType

    fields = client.create_schema(auto_id=False, enable_dynamic_field=False)
    fields.add_field(_ID, DataType.INT64, is_primary=True)
    fields.add_field(VECTOR, DataType.FLOAT_VECTOR, dim=dimension)
    for name in _categories(width):
        fields.add_field(name, DataType.INT32)
    fields.add_field(_AVAILABLE, DataType.BOOL)
    return fields


def index(client: "MilvusClient") -> "IndexParams":
    """The index of the vectors: exact in Milvus Lite, whose catalogs are small, otherwise HNSW."""
    exact = client.get_server_version(timeout=_TIMEOUT_S).startswith("milvus_lite")
    kind: dict[str, Any] = (
        {"index_type": "FLAT"}
        if exact
        else {"index_type": "HNSW", "params": {"M": _LINKS, "efConstruction": _BUILD_WIDTH}}
    )
    parameters = client.prepare_index_params()
    parameters.add_index(VECTOR, metric_type="IP", **kind)
    return parameters


def search_parameters(limit: int) -> dict[str, Any]:
    """The parameters of a search for ``limit`` items; an exact index ignores the width."""
    return {"metric_type": "IP", "params": {"ef": _WIDTH * limit}}


def rows(release: Release, start: int, end: int) -> list[dict[str, Any]]:
    """The rows of the items ``start`` to ``end - 1``."""
    vectors, packed = release.array("item_vectors")[start:end], release.array("item_rows")[start:end]
    width = release.schema.item[0].width
    columns = {name: packed["categorical"][:, column].tolist() for column, name in enumerate(_categories(width))}
    columns |= {_ID: range(start, end), VECTOR: list(vectors), _AVAILABLE: (packed["available"] != 0).tolist()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def expression(width: int, categories: Sequence[int] | None, excluded: Sequence[int]) -> str:
    """The condition on the items of a search, in Milvus' language: available, and what the request filters.

    Args:
        width: columns of the category in an item row.
        categories: codes to stay within; ``None`` for all.
        excluded: indices of items to leave out.
    """
    conditions = [f"{_AVAILABLE} == true"]
    if categories is not None:
        codes = ", ".join(map(str, categories))
        conditions.append("(" + " or ".join(f"{name} in [{codes}]" for name in _categories(width)) + ")")
    if excluded:
        conditions.append(f"{_ID} not in [{', '.join(map(str, excluded))}]")
    return " and ".join(conditions)


def _categories(width: int) -> list[str]:
    return [f"category_{column}" for column in range(width)]
