"""Item ids in memory-mapped arrays, and the way from an id to its index."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.support.tiny_release import write_bare_release
from winnow.arrays.strings import Strings
from winnow.bloom.hashing import item_hash, item_hashes
from winnow.features.columns import padded_strings
from winnow.items.arrays import hashes_of, id_arrays
from winnow.items.index import ItemIndex
from winnow.release import Release
from winnow.schema import Feature, FeatureSchema

SCHEMA = FeatureSchema(
    item=(Feature(name="category", kind="categorical", cardinality=1),),
    user=(),
    events=("view",),
    event_values=(1.0,),
    event_windows_ms=(1,),
    conversions=(),
)
FIVE = ["a", "Käse 7", "x" * 256, "日本語|§", "e"]


def written(folder: Path, ids: list[str]) -> Release:
    write_bare_release(folder, SCHEMA, id_arrays(["", *ids]), "none")
    return Release.open(folder / "1")


def test_every_id_is_found_and_no_other(tmp_path: Path) -> None:
    release = written(tmp_path, FIVE)
    index, ids = ItemIndex.of(release), release.strings("item_ids")
    assert release.items == 5
    assert ids.tolist() == list(ids) == ["", *FIVE]
    asked = [*(item_id.encode() for item_id in FIVE), b"", b"b", b"x" * 255, "Käse 7".encode()]
    assert index.find(asked).tolist() == [1, 2, 3, 4, 5, 0, 0, 0, 2]
    assert index.find([]).tolist() == []
    assert list(hashes_of(release)) == [item_hash(item_id) for item_id in ["", *FIVE]]
    assert np.array_equal(hashes_of(release).words(np.arange(6)), item_hashes(["", *FIVE]).words(np.arange(6)))


def test_thousands_of_ids_are_found_in_the_order_of_the_question(tmp_path: Path) -> None:
    names = [f"item-{n}" for n in range(20_000)]
    index = ItemIndex.of(written(tmp_path, names))
    order = np.random.default_rng(0).permutation(len(names))
    assert index.find([names[place].encode() for place in order]).tolist() == (order + 1).tolist()
    assert not index.find([f"other-{n}".encode() for n in range(1000)]).any()


@pytest.mark.parametrize("asked", ["a", "b", "c"])
def test_ids_whose_hashes_begin_alike_are_told_apart(asked: str) -> None:
    """All three have the lower half of the hash of ``asked``; another id with that half is not found."""
    [lower] = item_hashes([asked]).halves[:, 0]
    names = ["", "a", "b", "c"]
    index = ItemIndex(Strings.of(names), np.full(3, lower), np.array([2, 3, 1], np.int32))
    assert index.find([asked.encode()]).tolist() == [names.index(asked)]
    others = ItemIndex(Strings.of(["", "x", "y", "z"]), np.full(3, lower), np.array([2, 3, 1], np.int32))
    assert others.find([asked.encode()]).tolist() == [0]


def test_strings_are_taken_like_rows_of_an_array() -> None:
    strings = Strings.of(["", *FIVE])
    expected = np.array(["", *FIVE])
    for index in (slice(2, 4), slice(0, 0), slice(4, 1), slice(None, None, 2), np.array([5, 0, 2, 2]), [1]):
        assert strings[index].tolist() == expected[index].tolist()
    assert (strings[-1], strings[np.int32(2)], len(strings)) == ("e", "Käse 7", 6)
    with pytest.raises(IndexError):
        strings[6]
    assert strings.at(np.array([5, 0, 2, 2])) == ["e", "", "Käse 7", "Käse 7"]
    assert strings.are(np.array([1, 2, 0]), [b"a", b"K", b""]).tolist() == [True, False, True]


def test_a_column_becomes_strings_after_an_empty_one() -> None:
    chunks = pa.chunked_array([["skipped", "Käse 7", None], [], ["日本語|§"]]).slice(1)
    assert padded_strings(chunks).tolist() == ["", "Käse 7", "", "日本語|§"]
    assert padded_strings(chunks, 3).tolist() == ["", "Käs", "", "日本語"]
    assert padded_strings(pa.chunked_array([], pa.string())).tolist() == [""]
