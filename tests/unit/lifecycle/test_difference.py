"""What differs between two releases."""

from pathlib import Path

from tests.support.lifecycle.homes import add_release
from winnow.lifecycle.difference import Difference, differences
from winnow.release import Release


def changed(folder: Path, release: Release, **fields: object) -> Release:
    return Release(folder, release.manifest.model_copy(update=fields))


def test_releases_of_equal_content_do_not_differ(tmp_path: Path) -> None:
    release = add_release(tmp_path, 1)
    assert differences(release, release, ({"ndcg@10": 0.5}, {"ndcg@10": 0.5}), tmp_path / "model_repository") == []


def test_settings_metrics_and_sizes_are_compared(tmp_path: Path) -> None:
    first = add_release(tmp_path, 1)
    before = changed(first.folder, first, training={"ranker": {"epochs": 3}, "retriever": {"dimension": 64}})
    after = changed(
        first.folder,
        first,
        training={"ranker": {"epochs": 5}, "retriever": {"dimension": 64}},
        candidates=first.manifest.candidates | {"trending": 7},
        files={name: digest for name, digest in first.manifest.files.items() if name != "popular.npy"},
    )
    found = differences(before, after, ({"ndcg@10": 0.5}, {"ndcg@10": 0.25}))
    size = f"{(first.folder / 'popular.npy').stat().st_size:,} bytes"
    assert found == [
        Difference("settings", "ranker.epochs", "3", "5"),
        Difference("settings", "candidates of trending", "50", "7"),
        Difference("metrics", "ndcg@10", "0.5000", "0.2500"),
        Difference("files", "popular.npy", size, ""),
    ]


def test_schema_and_catalog_are_compared(tmp_path: Path) -> None:
    from tests.support.tiny_release import ITEMS, write_release

    first = write_release(tmp_path, 1)
    second = write_release(tmp_path, 2, seed=1, item="other-")
    schema = second.schema
    second.__dict__["schema"] = schema.model_copy(update={"item": schema.item[1:], "event_values": (1.0, 9.0, -5.0)})
    found = {(each.section, each.name): (each.before, each.after) for each in differences(first, second)}
    assert found["build", "data set"] == ("tiny-1", "tiny-2")
    assert found["catalog", "items only in the first"] == (f"{ITEMS}", "")
    assert found["catalog", "items only in the second"] == ("", f"{ITEMS}")
    assert found["schema", "item category"][1] == ""
    assert found["schema", "event buy"] == ("value 4", "value 9")
