"""The benchmarks' releases of untrained models are whole releases."""

from pathlib import Path

from benchmarks.scale.subjects.untrained_release import CatalogSize, write
from winnow.items.index import ItemIndex
from winnow.release import Release


def test_a_release_of_five_items_is_whole(tmp_path: Path) -> None:
    write(tmp_path, CatalogSize(items=5, users=30, events=200))
    release = Release.open(tmp_path / "releases" / "1")
    release.verify(tmp_path / "model_repository" / "1")
    ids = release.strings("item_ids").tolist()
    assert (release.items, len(set(ids))) == (5, 6)
    assert ItemIndex.of(release).find([item_id.encode() for item_id in ids[1:]]).tolist() == [1, 2, 3, 4, 5]
    assert release.strings("item_titles").tolist() == ids
    assert {"retriever", "ranker", "item_tower"} <= release.manifest.models.keys()
