"""A catalog holds nothing per item of the release: what it reads is mapped and shared."""

import tracemalloc
from pathlib import Path

import numpy as np

from recommender_transformer.backends.catalog import Catalog
from tests.support.tiny_release import SCHEMA, write_bare_release
from winnow.items.arrays import id_arrays

ITEMS = 20_000


def test_a_catalog_allocates_less_than_a_hash_per_item(tmp_path: Path) -> None:
    arrays = {
        **id_arrays(["", *(f"item-{n}" for n in range(ITEMS))]),
        "item_vectors": np.zeros((ITEMS + 1, 64), np.float32),
        "item_rows": np.zeros(ITEMS + 1, SCHEMA.item_dtype),
    }
    release = write_bare_release(tmp_path, SCHEMA, arrays, "none")
    Catalog(release)
    tracemalloc.start()
    try:
        catalog = Catalog(release)
        some = np.arange(1, 101)
        found = catalog.find([item_id.encode() for item_id in catalog.item_ids(some)])
        catalog.vectors.take(some), catalog.rows.take(some), catalog.words(some)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.tolist() == some.tolist()
    assert peak < 8 * ITEMS
