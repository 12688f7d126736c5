"""Search of the catalog, pages of items, neighbours, and items that changed since the release was built."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import numpy as np
import pytest

from tests.integration.explorer.conftest import NUMBER
from tests.support.explorer.catalog import HOSTILE, write_catalog
from tests.support.explorer.site import Site, exploring
from tests.support.transformer_server import Server
from tests.support.until import until
from winnow.release import Release

Unusual = Callable[..., AbstractContextManager[Site]]

_ITEM = re.compile(r'href="(/item\?[^"]*)"')


@pytest.fixture
def unusual(explored_server: Server, redis_url: str, tmp_path: Path) -> Unusual:
    """The explorer of another catalog: ``with unusual(items=5) as site``."""

    @contextmanager
    def running(**catalog: Any) -> Iterator[Site]:
        write_catalog(tmp_path, NUMBER, **catalog)
        with exploring(tmp_path, explored_server, redis_url, tmp_path / "explorer.log") as site:
            yield site

    return running


def items_of(text: str) -> list[str]:
    """The items that a page links to, each once, in order."""
    found = [parse_qs(urlsplit(link.replace("&amp;", "&")).query)["id"][0] for link in _ITEM.findall(text)]
    return list(dict.fromkeys(found))


def found(site: Site, **query: object) -> list[str]:
    return items_of(site.text("/catalog", **query))


def change(site: Site, **fields: object) -> None:
    """Change an item, and wait until the explorer can have heard of it."""
    assert site.server is not None
    status, answer = site.server.v1(fields, model="items")
    assert status == 200, answer


class TestSearch:
    def test_by_title_and_id(self, site: Site) -> None:
        assert found(site, q="TITLE 123") == ["item-123"]
        assert found(site, q="item-177") == ["item-177"]
        named = {"item-29", "item-129", "item-229", *(f"item-{number}" for number in range(290, 300))}
        assert set(found(site, q="title 29")) == named

    def test_an_item_of_that_id_comes_first(self, site: Site) -> None:
        assert found(site, q="item-2")[0] == "item-2"
        assert len(found(site, q="item-2")) == 24

    def test_the_rest_is_ordered_by_popularity(self, site: Site, explored_home: Path) -> None:
        popular = Release.open(explored_home / "releases" / str(NUMBER)).array("popular").tolist()
        expected = [f"item-{index}" for index in popular if "9" in str(index)][:24]
        assert found(site, q="title 9") == expected
        # Those that other tests added come first.
        released = [item_id for item_id in found(site) if item_id.startswith("item-")]
        assert released == [f"item-{index}" for index in popular[: len(released)]]
        assert released

    def test_pages_have_every_item_once(self, site: Site) -> None:
        text = site.text("/catalog", category="books")
        assert "page 1 of" in text
        shown: list[str] = []
        page = 1
        while page == 1 or 'rel="next"' in text:
            text = site.text("/catalog", category="books", page=page)
            shown += items_of(text)
            page += 1
        release = Release.open(site.home / "releases" / str(NUMBER))
        books = np.flatnonzero(release.array("item_rows")["categorical"][:, 0] == 1)
        assert sorted(shown) == sorted(f"item-{index}" for index in books.tolist())

    def test_a_page_after_the_last_is_the_last(self, site: Site) -> None:
        assert found(site, page=999) == found(site, page=13)

    def test_cold_items(self, site: Site) -> None:
        events = Release.open(site.home / "releases" / str(NUMBER)).array("item_events")
        cold = [f"item-{index}" for index in np.flatnonzero(events < 5).tolist() if index]
        text = site.text("/catalog", only="cold", q="title")
        assert f"{len(cold)} item" in text
        assert set(items_of(text)) <= set(cold)

    def test_what_it_costs_is_said(self, site: Site) -> None:
        assert re.search(r"300 titles and ids read in \d+ ms", site.text("/catalog", q="nothing like it"))
        assert "titles and ids read" not in site.text("/catalog")

    @pytest.mark.parametrize(
        "query",
        [{"page": "0"}, {"page": "x"}, {"page": "9" * 40}, {"only": "x"}, {"q": "x" * 300}, {"category": "x" * 300}],
    )
    def test_wrong_fields_are_refused(self, site: Site, query: dict[str, str]) -> None:
        response = site.get("/catalog", **query)
        assert response.status_code == 400
        assert next(iter(query)) in response.text

    def test_htmx_gets_the_result_alone(self, site: Site) -> None:
        headers = {"HX-Request": "true", "HX-Target": "found"}
        text = site.http.get("/catalog", params={"q": "title 5"}, headers=headers).text
        assert "<html" not in text
        assert "item-5" in items_of(text)


class TestChanges:
    def test_a_new_item_is_found_first_and_has_neighbours(self, site: Site) -> None:
        change(site, item_id="ネコ-1/ä?#", title="ネコの ぬいぐるみ", category="toys")
        assert found(site, q="ぬいぐるみ") == ["ネコ-1/ä?#"]
        assert "ネコ-1/ä?#" in found(site, only="changed")
        text = site.text("/item", id="ネコ-1/ä?#")
        assert "ネコの ぬいぐるみ" in text
        assert "none: the item is newer" in text
        assert ">new</span>" in text
        assert len(items_of(text)) == 12

    def test_a_changed_title_replaces_the_releases(self, site: Site) -> None:
        change(site, item_id="item-41", title="Wholly different")
        assert found(site, q="wholly") == ["item-41"]
        assert "item-41" not in found(site, q="title 41")
        text = site.text("/item", id="item-41")
        assert "<h1>Wholly different</h1>" in text
        assert re.search(r"title 41\s+<span", text)

    def test_a_deleted_item_is_no_longer_found(self, site: Site) -> None:
        assert "item-43" in found(site, q="title 43")
        change(site, item_id="item-43", action="delete")
        until(lambda: "item-43" not in found(site, q="title 43"))
        listed = [item_id for page in range(1, 14) for item_id in found(site, page=page)]
        assert len(listed) >= 299
        assert "item-43" not in listed
        assert ">deleted</span>" in site.text("/item", id="item-43")

    def test_an_item_that_was_taken_down_is_marked(self, site: Site) -> None:
        change(site, item_id="item-44", action="disable")
        assert ">taken down</span>" in site.text("/catalog", q="title 44")
        assert ">taken down</span>" in site.text("/item", id="item-44")

    def test_markup_in_a_new_item_is_shown_as_text(self, site: Site) -> None:
        change(site, item_id=HOSTILE, title=HOSTILE, category=HOSTILE)
        for text in (site.text("/catalog", q="alert(1)"), site.text("/item", id=HOSTILE)):
            assert HOSTILE in items_of(text)[:1] or "&lt;script&gt;alert(1)" in text
            assert "&lt;script&gt;alert(1)" in text
            assert "<script>alert" not in text
            assert "<img src=x" not in text
        change(site, item_id=HOSTILE, action="delete")


class TestItem:
    def test_values_neighbours_and_events(self, site: Site) -> None:
        release = Release.open(site.home / "releases" / str(NUMBER))
        text = site.text("/item", id="item-7")
        assert f"<dd>{release.array('item_events')[7]}" in text
        assert '<th scope="row">price</th><td>7</td>' in re.sub(r"<td>\s+", "<td>", re.sub(r"\s+</td>", "</td>", text))
        visited = text[text.index("Taken by the same people") :]
        weights, others = release.array("neighbour_weights")[7], release.array("neighbours")[7]
        best = [f"item-{others[place]}" for place in np.argsort(-weights, kind="stable") if others[place] != 7]
        assert items_of(visited)[:3] == list(dict.fromkeys(best))[:3]
        near = text[text.index("Similar items") : text.index("Taken by the same people")]
        assert site.server is not None
        _, answer = site.server.v1({"item_id": "item-7", "action": "read", "nearest": 12}, model="items")
        assert items_of(near) == answer["predictions"][0]["nearest"]
        assert len(items_of(near)) == 12

    def test_an_item_that_is_unknown(self, site: Site) -> None:
        response = site.get("/item", id="no-such-item")
        assert response.status_code == 404
        assert "no-such-item" in response.text

    @pytest.mark.parametrize("item_id", ["", "x" * 257, "a\nb"])
    def test_an_id_that_is_none(self, site: Site, item_id: str) -> None:
        assert site.get("/item", id=item_id).status_code == 400


class TestUnusualCatalogs:
    def test_five_items_without_titles_and_categories(self, unusual: Unusual) -> None:
        with unusual(items=5, titles=[None] * 5) as site:
            assert set(found(site)) >= {f"item-{number}" for number in range(1, 6)}
            assert found(site, q="item-3") == ["item-3"]
            assert 'name="category"' not in site.text("/catalog")

    def test_no_items(self, unusual: Unusual) -> None:
        with unusual(items=0) as site:
            assert "0 items" in site.text("/catalog")
            assert "Nothing found" in site.text("/catalog", category="books", q="item-3x")
            assert "no items" in site.text("/map")

    def test_hostile_titles_and_categories(self, unusual: Unusual) -> None:
        ids = [f"{HOSTILE}{number}" for number in range(20)]
        with unusual(items=20, ids=ids, titles=[HOSTILE] * 20, categories=[HOSTILE] * 19 + [None]) as site:
            for path, query in (
                ("/catalog", {}),
                ("/catalog", {"q": HOSTILE}),
                ("/catalog", {"category": HOSTILE}),
                ("/map", {}),
                ("/map", {"category": HOSTILE, "item": ids[3]}),
            ):
                text = site.text(path, **query)
                assert "&lt;script&gt;alert(1)" in text
                assert "<script>alert" not in text
                assert "<img src=x" not in text
            points = site.get("/map/points")
            assert points.headers["content-type"] == "application/json"
            assert points.json()["title"] == [HOSTILE] * 20

    def test_a_release_of_an_earlier_version(self, unusual: Unusual) -> None:
        with unusual(items=30, with_map=False, with_events=False) as site:
            text = site.text("/map")
            assert "has no map" in text
            assert "winnow build" in text
            assert site.get("/map/points").status_code == 404
            assert ">cold" not in site.text("/catalog")


class TestMap:
    def test_it_has_every_item_by_category(self, site: Site) -> None:
        text = site.text("/map")
        assert "All 300 items" in text
        dots = re.findall(r'<path class="(?:dots|cold)" d="([^"]+)"', text)
        legend = 4 + 1
        assert sum(path.count("M") for path in dots) == 300 + legend
        for name in ("books", "games", "music", "toys"):
            assert f">{name}</a>" in text

    def test_the_points_are_those_of_the_release(self, site: Site) -> None:
        release = Release.open(site.home / "releases" / str(NUMBER))
        points = site.get("/map/points").json()
        assert points["id"] == [f"item-{index}" for index in release.array("map_items").tolist()]
        expected = np.round(release.array("map_points")[:, 0] / 65_535 * 960 + 20, 1)
        assert np.allclose(points["x"], expected)
        assert points["cold"] == (release.array("item_events")[1:] < 5).tolist()

    def test_the_table_has_the_items_of_the_frame(self, site: Site) -> None:
        points = site.get("/map/points").json()
        inside = {
            name
            for name, x, y in zip(points["id"], points["x"], points["y"], strict=True)
            if 125 <= x <= 375 and 500 <= y <= 750
        }
        shown: list[str] = []
        for page in range(1, 20):
            text = site.text("/map", x=250, y=625, zoom=4, page=page)
            assert 'viewBox="125.0 500.0 250.0 250.0"' in text
            shown += items_of(text)
            if 'rel="next"' not in text:
                break
        assert sorted(shown) == sorted(inside)
        assert len(inside) > 5

    def test_a_category_is_emphasised_and_listed_alone(self, site: Site) -> None:
        text = site.text("/map", category="music")
        assert text.count(" faint") == 3
        release = Release.open(site.home / "releases" / str(NUMBER))
        music = np.flatnonzero(release.array("item_rows")["categorical"][:, 0] == 3)
        assert f"{len(music)} items of music" in text

    def test_an_item_is_marked(self, site: Site) -> None:
        assert "Marked: " in site.text("/map", item="item-9")
        assert "no place on the map" in site.text("/map", item="nothing")

    def test_an_item_outside_the_sample_is_marked_by_the_most_similar_one(self, unusual: Unusual) -> None:
        with unusual(items=2100) as site:
            vectors = Release.open(site.home / "releases" / str(NUMBER)).array("item_vectors")
            nearest = int(np.argmax(vectors[1:2001] @ vectors[2050])) + 1
            text = site.text("/map", item="item-2050")
            assert "2,000 of 2,100 items" in text
            note = text[text.index("is not among") :]
            assert items_of(note)[0] == f"item-{nearest}"

    @pytest.mark.parametrize("query", [{"x": "nan"}, {"zoom": "-1"}, {"zoom": "inf"}, {"y": "1e400"}, {"page": "²"}])
    def test_what_is_no_frame_is_the_whole_map(self, site: Site, query: dict[str, str]) -> None:
        assert 'viewBox="0.0 0.0 1000.0 1000.0"' in site.text("/map", **query)

    def test_htmx_gets_the_table_alone(self, site: Site) -> None:
        text = site.http.get("/map", headers={"HX-Request": "true", "HX-Target": "in-view"}).text
        assert "<svg" not in text
        assert "<table" in text


def test_without_the_transformer_the_catalog_says_so(explored_home: Path, redis_url: str, tmp_path: Path) -> None:
    with exploring(explored_home, "http://127.0.0.1:9", redis_url, tmp_path / "log") as alone:
        assert alone.get("/catalog").status_code == 503
        assert alone.get("/map").status_code == 503
        health: httpx.Response = alone.get("/health")
        assert health.status_code == 200
        assert "does not answer" in health.text
