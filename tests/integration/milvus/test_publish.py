"""Publishing to a real Milvus Lite: whole, interrupted, repeated, refused and dropped."""

import shutil
from itertools import count

import numpy as np
import pytest

from tests.support.tiny_release import ITEMS, write_release
from winnow.errors import ReleaseMismatch, WinnowError
from winnow.milvus import publish as publishing
from winnow.milvus.collection import alias, collection_name, expression, search_parameters
from winnow.milvus.connection import connect
from winnow.milvus.publish import check_published, drop, drop_others, publish

_numbers = count(1)


@pytest.fixture
def release(tmp_path):
    return write_release(tmp_path / "first", next(_numbers), models=("user_tower",))


def check(release, url):
    with connect(url) as client:
        check_published(client, url, release)


def collections(url):
    with connect(url) as client:
        return {name: client.list_aliases(name)["aliases"] for name in client.list_collections()}


def test_a_published_release_is_searched_exactly(release, milvus_url):
    publish(release.folder, milvus_url, show_progress=False)
    check(release, milvus_url)
    user = np.random.default_rng(5).standard_normal(release.array("item_vectors").shape[1]).astype(np.float32)
    rows, scores = release.array("item_rows"), release.array("item_vectors") @ user
    passes = (rows["available"] != 0) & np.isin(rows["categorical"][:, 0], [2, 3])
    passes[[0, 7, 9]] = False
    expected = np.flatnonzero(passes)[np.argsort(-scores[passes], kind="stable")][:20]
    with connect(milvus_url) as client:
        [found] = client.search(
            collection_name(release), [user], expression(1, [2, 3], [7, 9]), 20, search_params=search_parameters(20)
        )
    assert found.ids == expected.tolist()
    assert found.distances == pytest.approx(scores[expected], abs=1e-6)


def test_an_interrupted_publication_continues_and_a_repeated_one_writes_nothing(release, milvus_url, monkeypatch):
    monkeypatch.setattr(publishing, "_BATCH_ITEMS", 50)
    written, whole = [], publishing.rows

    def rows(release, start, end):
        if start > 150 and not interrupted:
            interrupted.append(start)
            raise KeyboardInterrupt
        written.append(start)
        return whole(release, start, end)

    interrupted = []
    monkeypatch.setattr(publishing, "rows", rows)
    with pytest.raises(KeyboardInterrupt):
        publish(release.folder, milvus_url, show_progress=False)
    with pytest.raises(ReleaseMismatch, match=rf"is release {release.manifest.number} \(\w+\), but Milvus .* a part"):
        check(release, milvus_url)
    publish(release.folder, milvus_url, show_progress=False)
    publish(release.folder, milvus_url, show_progress=False)
    assert written == list(range(1, ITEMS, 50))
    check(release, milvus_url)
    with connect(milvus_url) as client:
        assert client.query(collection_name(release), "", ["count(*)"])[0]["count(*)"] == ITEMS


def test_another_release_under_the_number_is_refused_by_publication_and_transformer(release, milvus_url, tmp_path):
    number = release.manifest.number
    with pytest.raises(ReleaseMismatch, match=rf"Milvus at {milvus_url} holds no release {number}: run `python -m"):
        check(release, milvus_url)
    publish(release.folder, milvus_url, show_progress=False)
    other = write_release(tmp_path / "other", number, seed=1, models=("user_tower",))
    with pytest.raises(ReleaseMismatch, match=rf"holds a release {number} with digest {release.digest[:12]}, but"):
        publish(other.folder, milvus_url, show_progress=False)
    with pytest.raises(
        ReleaseMismatch, match=rf"\({other.digest[:12]}\), .* another release {number} \({release.digest[:12]}"
    ):
        check(other, milvus_url)
    assert drop(milvus_url, number) == [collection_name(release)]
    publish(other.folder, milvus_url, show_progress=False)
    check(other, milvus_url)
    assert {name: names for name, names in collections(milvus_url).items() if f"_r{number}_" in name} == {
        collection_name(other): [alias(number)]
    }


def test_a_collection_that_is_not_loaded_is_refused_until_published_again(release, milvus_url):
    publish(release.folder, milvus_url, show_progress=False)
    with connect(milvus_url) as client:
        client.release_collection(collection_name(release))
    with pytest.raises(ReleaseMismatch, match=f"has not loaded its collection {collection_name(release)}"):
        check(release, milvus_url)
    publish(release.folder, milvus_url, show_progress=False)
    check(release, milvus_url)


def test_only_collections_of_other_releases_are_dropped(release, milvus_url, tmp_path):
    publish(release.folder, milvus_url, show_progress=False)
    removed = write_release(tmp_path / "removed", next(_numbers), models=("user_tower",))
    publish(removed.folder, milvus_url, show_progress=False)
    gone = collection_name(removed)
    shutil.rmtree(removed.folder)
    with connect(milvus_url) as client:
        client.create_collection("books", 4)
    assert gone in drop_others(milvus_url, [release.manifest.number])
    assert set(collections(milvus_url)) == {"books", collection_name(release)}


def test_a_release_with_a_retriever_of_its_own_is_not_published(tmp_path, milvus_url):
    plain = write_release(tmp_path, next(_numbers))
    publish(plain.folder, "http://127.0.0.1:1", show_progress=False)
    with pytest.raises(WinnowError, match=r"Milvus at http://127.0.0.1:1 failed: .*check that it runs, and MILVUS_URL"):
        drop("http://127.0.0.1:1", plain.manifest.number)
