"""What the explorer reads of a release beside what serving does: media of the items, and the order of the users."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from winnow.arrays.strings import Strings
from winnow.datasets import marketplace
from winnow.features.columns import padded_strings
from winnow.items.media import ARRAYS, MEDIA
from winnow.release import BuildInputs

_COLUMNS = {ARRAYS["image"]: "image", ARRAYS["sound"]: "audio"}


def explored_arrays(
    items: pa.Table, user_ids: NDArray[np.str_], source: BuildInputs, home: Path
) -> tuple[dict[str, NDArray[Any] | Strings], dict[str, str]]:
    """Arrays and documents of the release.

    Args:
        items: the canonical table.
        user_ids: str [users].
        source: the inputs of the build.
        home: WINNOW_HOME.

    Returns:
        ``user_order`` int32 [users], the rows of users ascending by id; and, where pictures or sounds are files in the
        folder of the data set, ``item_images`` and ``item_sounds``, n + 1 paths in it, empty for none. The document
        ``media.json`` names the folder.
    """
    arrays: dict[str, NDArray[Any] | Strings] = {
        "user_order": np.argsort(user_ids, kind="stable").astype(np.int32),
    }
    if "://" in source.data:
        return arrays, {}
    sizes = marketplace.MarketplaceSize(source.items, source.users, source.events, source.seed)
    folder = Path(source.data) if source.data else marketplace.folder_of(home / "marketplace", sizes)
    paths = {name: _inside(items[column].to_pylist(), folder) for name, column in _COLUMNS.items()}
    if not any(map(any, paths.values())):
        return arrays, {}
    arrays |= {name: padded_strings(pa.chunked_array([values], pa.string())) for name, values in paths.items()}
    # The marketplace moves with its home.
    named = os.path.abspath(folder) if source.data else os.path.relpath(folder, home)
    return arrays, {MEDIA: json.dumps({"folder": named}, indent=1)}


def _inside(locations: list[str | None], folder: Path) -> list[str]:
    """Each path relative to the folder; empty for none, and for one outside the folder."""
    prefix = os.path.join(os.path.abspath(folder), "")
    return [each[len(prefix) :] if each and each.startswith(prefix) else "" for each in locations]
