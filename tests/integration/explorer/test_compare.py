"""Two lists side by side: of users, settings and releases; what they share, and how items move."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.explorer.conftest import NUMBER
from tests.support.explorer.shelf import HOSTILE
from tests.support.explorer.site import Site, exploring
from tests.support.tiny_release import write_release
from tests.support.transformer_server import Server
from tests.support.until import until
from winnow.explorer.compare.overlap import rank_biased_overlap

OTHER = 6302


@pytest.fixture(scope="module")
def compared(explored_server: Server, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The explorer of a home with the served release and one whose models are missing."""
    home = tmp_path_factory.mktemp("compared")
    write_release(home / "releases", NUMBER)
    write_release(home / "releases", OTHER, models=("retriever", "ranker"))
    with exploring(home, explored_server, redis_url, home / "explorer.log") as site:
        yield site


def columns(text: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """The lists of a page: title and move of each item."""
    lists = re.findall(r'<ol class="ranked">(.*?)</ol>', text, re.DOTALL)
    found = []
    for each in lists:
        items = re.findall(r"<li>(.*?)</li>", each, re.DOTALL)
        titles = [re.findall(r"<h3>(?:<a [^>]*>)?(.*?)(?:</a>)?</h3>", item, re.DOTALL)[0].strip() for item in items]
        moves = [item[item.index('class="move"') :] for item in items]
        words = [" ".join(re.sub(r"<[^>]*>", " ", move.partition(">")[2]).split()) for move in moves]
        found.append(list(zip(titles, words, strict=True)))
    first, second = found
    return first, second


def titles(side: list[tuple[str, str]]) -> list[str]:
    return [title for title, _ in side]


def listed(site: Site, **request: object) -> list[str]:
    """What the recommender itself answers, as titles."""
    assert site.server is not None
    _, answer = site.server.v1({"deadline_ms": 5000, **request})
    return [f"title {item['item_id'].removeprefix('item-')}" for item in answer["predictions"][0]["items"]]


def test_without_a_user_the_page_offers_comparisons_that_work(compared: Site) -> None:
    text = compared.text("/compare")
    links = re.findall(r'<li><a href="(/compare\?[^"]*)"', text)
    assert len(links) == 3
    for link in links:
        assert compared.get(link.replace("&amp;", "&")).status_code == 200


def test_two_users(compared: Site) -> None:
    text = compared.text("/compare", user="user-1", user2="user-2", k=20)
    left, right = columns(text)
    first, second = listed(compared, user_id="user-1", k=20), listed(compared, user_id="user-2", k=20)
    assert (titles(left), titles(right)) == (first, second)
    common = set(first) & set(second)
    assert f"{len(common)} of 20 items are in both lists" in text
    assert f"<strong>{rank_biased_overlap(first, second):.3f}</strong>" in text
    for place, (title, words) in enumerate(right):
        if title not in first:
            assert words == "only right"
            continue
        up = first.index(title) - place
        direction = "up" if up > 0 else "down"
        mark = "▲" if up > 0 else "▼"
        moved = f"{mark}{abs(up)} {direction} {abs(up)} from place {first.index(title) + 1}"
        assert words == (moved if up else "= the same place")
    assert [title for title, words in left if words == "only left"] == [each for each in first if each not in common]


def test_two_settings_of_one_user(compared: Site) -> None:
    settings = {
        "diversity2": "0.9",
        "k2": "5",
        "where2": "price < 200",
        "repeats2": "allow",
        "objectives2": "view=1,buy=9",
    }
    text = compared.text("/compare", user="user-3", **settings)
    left, right = columns(text)
    assert titles(left) == listed(compared, user_id="user-3")
    asked = {"diversity": 0.9, "k": 5, "repeats": "allow", "objectives": {"view": 1, "buy": 9}}
    assert titles(right) == listed(compared, user_id="user-3", filters={"where": "price < 200"}, **asked)
    assert len(right) == 5
    for name, value in settings.items():
        assert f'name="{name}" value="{value.replace("<", "&lt;")}"' in text or f"<option selected>{value}<" in text


def test_equal_lists_are_said_to_be_equal(compared: Site) -> None:
    text = compared.text("/compare", user="user-4")
    assert "The lists are the same." in text
    assert "<strong>1.000</strong>" in text
    assert {words for _, words in columns(text)[1]} == {"= the same place"}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"k": "x"}, "k: must be a whole number"),
        ({"k2": "501"}, "k: must be"),
        ({"diversity2": "3"}, "diversity: must be"),
        ({"where": "price <"}, "filters.where: ends too early"),
        ({"repeats": "never"}, "repeats: must be"),
        ({"objectives": "nothing=1"}, "objectives"),
        ({"user": "u" * 300}, "user_id: must be"),
        ({"release2": "x"}, "release2: must be the number of a release"),
        ({"release2": "99"}, "release: this home has no release 99"),
        ({"release": "99", "release2": "98"}, "release: only one other release"),
    ],
)
def test_what_is_wrong_is_named_beside_the_form(compared: Site, query: dict[str, str], message: str) -> None:
    response = compared.get("/compare", **{"user": "user-1"} | query)
    assert response.status_code == 400
    assert message in response.text.replace("&#39;", "'")
    assert 'role="alert"' in response.text
    for name, value in query.items():
        assert value[:20].replace("<", "&lt;") in response.text, name


def test_hostile_texts_are_shown_and_not_run(compared: Site) -> None:
    assert compared.server is not None
    _, answer = compared.server.v1({"user_id": HOSTILE, "k": 1})
    item = answer["predictions"][0]["items"][0]["item_id"]
    document = {"title": HOSTILE, "category": HOSTILE, "available": True}
    status, _ = compared.server.v1({"item_id": item, **document}, model="items")
    assert status == 200
    query = dict.fromkeys(("user", "user2"), HOSTILE)
    until(lambda: "onerror" in "".join(titles(columns(compared.text("/compare", **query))[0])), 30)
    for more in ({}, {"where": HOSTILE}, {"objectives": f"{HOSTILE}=1"}, {"k": HOSTILE}, {"release": HOSTILE}):
        text = compared.get("/compare", **query, **more).text
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert "&lt;script&gt;alert(" in text
    as_built = {"title": item.replace("item-", "title "), "category": "toys"}
    assert compared.server.v1({"item_id": item, **as_built}, model="items")[0] == 200


def test_a_release_that_cannot_be_started_says_why(compared: Site) -> None:
    query = {"user": "user-1", "release2": str(OTHER)}
    page = f"/compare?user=user-1&release2={OTHER}"
    text = compared.text(page)
    assert f"Start release {OTHER}" in text
    assert '<ol class="ranked">' not in text, "nothing is asked before both sides can be"
    response = compared.post("/compare/release", query, page=page)
    assert response.status_code == 303
    assert response.headers["location"] == page
    until(lambda: "does not answer" in compared.text(page), 60)
    text = compared.text(page)
    assert "model_repository" in text
    assert f"Start release {OTHER}" in text


def test_read_only_starts_nothing(compared: Site, explored_server: Server, redis_url: str, tmp_path: Path) -> None:
    with exploring(compared.home, explored_server, redis_url, tmp_path / "log", "--read-only") as site:
        text = site.text("/compare", user="user-1", release2=OTHER)
        assert "This explorer is read-only" in text
        assert "Start release" not in text
        assert len(columns(site.text("/compare", user="user-1", user2="user-2"))[0]) == 10
