"""A release is written completely and once, and a changed file is detected."""

import json
from pathlib import Path

import numpy as np
import pytest

from winnow import release
from winnow.errors import ReleaseMismatch, WinnowError
from winnow.release import INDEX_FILE, BuildInputs, Release
from winnow.schema import Feature, FeatureSchema

SCHEMA = FeatureSchema(
    item=(Feature(name="category", kind="categorical", cardinality=3), Feature(name="popularity", kind="numeric")),
    user=(),
    events=("view",),
    event_values=(1.0,),
    event_windows_ms=(86_400_000,),
    conversions=("view",),
)


def write(
    root: Path, number: int, holdout: str = "none", data: str = "/data", linked: tuple[Path, ...] = ()
) -> Release:
    return release.write(
        root / str(number),
        {"popular": np.array([2, 1], np.int32)},
        {"schema.json": SCHEMA.model_dump_json(), "vocabularies.json": json.dumps({"category": ["", "hat", "shoe"]})},
        linked=linked,
        number=number,
        dataset="test",
        source=BuildInputs(data=data),
        holdout=holdout,
        as_of=1,
        history_length=50,
        candidates={"retriever": 100},
        schema_digest=SCHEMA.digest,
        models={},
        parity={"retriever": 1e-6},
    )


def test_a_release_is_read_as_it_was_written(tmp_path: Path) -> None:
    write(tmp_path, 1)
    opened = Release.open(tmp_path / "1")
    opened.verify()
    assert opened.array("popular").tolist() == [2, 1]
    assert opened.schema == SCHEMA
    assert opened.vocabularies["category"][2] == "shoe"
    assert list(tmp_path.iterdir()) == [tmp_path / "1"]


def test_a_release_is_never_overwritten(tmp_path: Path) -> None:
    first = write(tmp_path, 1).digest
    with pytest.raises(WinnowError, match="exists already"):
        write(tmp_path, 1)
    assert Release.open(tmp_path / "1").digest == first


def test_a_release_of_another_version_is_refused_with_the_remedy(tmp_path: Path) -> None:
    write(tmp_path, 1)
    old = json.loads(SCHEMA.model_dump_json())
    old["event_weights"] = old.pop("event_values")
    (tmp_path / "1" / "schema.json").write_text(json.dumps(old))
    with pytest.raises(ReleaseMismatch, match=r"another version of Winnow \(its schema differs in .*event_weights\)"):
        Release.open(tmp_path / "1")


def test_a_changed_file_is_named(tmp_path: Path) -> None:
    opened = write(tmp_path, 1)
    np.save(tmp_path / "1" / "popular.npy", np.array([1, 2], np.int32))
    with pytest.raises(ReleaseMismatch, match=r"popular\.npy is missing or has changed since release 1 was built"):
        opened.verify()


def test_the_index_beside_the_retriever_is_the_releases(tmp_path: Path) -> None:
    index = tmp_path / INDEX_FILE
    index.write_bytes(b"lists and codes")
    opened = write(tmp_path, 1, linked=(index,))
    assert (tmp_path / "1" / INDEX_FILE).samefile(index)
    served = tmp_path / "repository" / "retriever" / "1" / INDEX_FILE
    served.parent.mkdir(parents=True)
    served.write_bytes(b"lists and codes")
    opened.verify(tmp_path / "repository")
    for damage in (lambda: served.write_bytes(b"lists and c0des"), served.unlink):
        damage()
        with pytest.raises(
            ReleaseMismatch, match=r"retriever/1/index\.faiss is missing or has changed since release 1"
        ):
            opened.verify(tmp_path / "repository")


def test_a_manifest_from_before_the_index_was_recorded_is_read(tmp_path: Path) -> None:
    write(tmp_path, 1)
    path = tmp_path / "1" / "manifest.json"
    older = json.loads(path.read_text())
    assert older.pop("index") is None
    path.write_text(json.dumps(older))
    assert Release.open(tmp_path / "1").manifest.index is None


def test_a_schema_of_another_release_is_refused(tmp_path: Path) -> None:
    write(tmp_path, 1)
    other = SCHEMA.model_copy(update={"events": ("sell",)})
    (tmp_path / "1" / "schema.json").write_text(other.model_dump_json())
    with pytest.raises(ReleaseMismatch, match=SCHEMA.digest[:12]) as refused:
        Release.open(tmp_path / "1")
    assert other.digest[:12] in str(refused.value)


def test_a_folder_without_a_release_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(WinnowError, match="winnow build"):
        Release.open(tmp_path / "9")


def test_the_latest_is_the_newest_of_its_kind(tmp_path: Path) -> None:
    write(tmp_path, 2)
    write(tmp_path, 10)
    write(tmp_path, 11, holdout="last")
    write(tmp_path, 12, data="/elsewhere")
    assert release.numbers(tmp_path) == [2, 10, 11, 12]

    def number(found: Release | None) -> int | None:
        return found and found.manifest.number

    assert number(release.latest(tmp_path)) == 12
    assert number(release.latest(tmp_path, "last")) == 11
    assert number(release.latest(tmp_path, like=BuildInputs(data="/data", items=7))) == 10
    assert number(release.latest(tmp_path, like=BuildInputs())) is None
    assert release.latest(tmp_path / "nowhere") is None


def test_a_release_whose_ids_have_an_older_form_is_refused_with_the_remedy(tmp_path: Path) -> None:
    opened = write(tmp_path, 1)
    manifest = json.loads((opened.folder / "manifest.json").read_text())
    manifest["files"]["item_ids.npy"] = "0" * 64
    (opened.folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ReleaseMismatch, match=r"another version of Winnow \(its item ids have another form\): build"):
        Release.open(tmp_path / "1")
