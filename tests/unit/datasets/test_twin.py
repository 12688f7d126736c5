"""The twin of a release is of the same data, not only of the same address."""

from pathlib import Path

from tests.support.lifecycle.copies import held_out
from tests.support.tiny_release import write_release
from winnow.datasets.profile import FILE, DataProfile, twin_of
from winnow.release import Release, sha256


def of_events(release: Release, events: int) -> Release:
    """The release, with a profile of so many events."""
    profile = DataProfile(rows={"events": events}, event_types={}, newest=0, columns={}, modalities={})
    path = release.folder / FILE
    path.write_text(profile.model_dump_json())
    manifest = release.manifest.model_copy(update={"files": release.manifest.files | {FILE: sha256(path)}})
    (release.folder / "manifest.json").write_text(manifest.model_dump_json())
    return Release.open(release.folder)


def test_a_release_of_grown_data_has_no_twin_yet(tmp_path: Path) -> None:
    (tmp_path / "model_repository" / "1").mkdir(parents=True)
    plain = write_release(tmp_path / "releases", 1)
    first = of_events(plain, 100)
    assert twin_of(first) is None
    twin = of_events(held_out(plain, tmp_path, 2), 100)
    for found in (twin_of(first), twin_of(twin)):
        assert found is not None
        assert found.manifest.number == 2
    grown = of_events(write_release(tmp_path / "releases", 3), 120)
    assert twin_of(grown) is None
