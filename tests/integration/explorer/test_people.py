"""Finding a user, and what the pages say of one."""

import httpx
import pytest

from tests.integration.explorer.conftest import Explore
from tests.support.explorer.site import Site


def users_in(text: str) -> list[str]:
    """The users that a page links to, in order."""
    return [part.partition('"')[0] for part in text.split('href="/person?user=')[1:]]


def found(site: Site, prefix: str) -> list[str]:
    response = site.http.get("/people", params={"q": prefix}, headers={"HX-Request": "true", "HX-Target": "found"})
    assert response.status_code == 200
    return users_in(response.text)


def test_a_user_is_found_by_the_first_characters(site: Site) -> None:
    assert found(site, "user-1") == ["user-1", *(f"user-{number}" for number in range(10, 20))]
    assert found(site, "user-12") == ["user-12"]
    assert found(site, "user-") == sorted(f"user-{number}" for number in range(20))
    assert found(site, "zz") == []


def test_a_user_who_came_after_the_build_is_found_by_the_whole_id(site: Site) -> None:
    assert site.server is not None
    assert found(site, "ünser-neu") == []
    status, _ = site.server.v1({"user_id": "ünser-neu", "item_id": "item-1", "event": "view"}, model="events")
    assert status == 200
    assert [httpx.URL(f"http://x/?u={user}").params["u"] for user in found(site, "ünser-neu")] == ["ünser-neu"]


def test_a_user_who_was_recommended_to_is_listed_first(site: Site) -> None:
    assert site.server is not None
    site.server.v1({"user_id": "user-17", "k": 3})
    for _ in range(50):
        text = site.text("/people")
        recent = text[text.index("Recommended to last") : text.index("Some with a history")]
        if users_in(recent)[:1] == ["user-17"]:
            return
    raise AssertionError(recent)


def test_a_person_has_history_features_and_filters(site: Site) -> None:
    assert site.server is not None
    _, answer = site.server.v1({"user_id": "user-2", "action": "read", "n": 40}, model="users")
    [record] = answer["predictions"]
    text = site.text("/person", user="user-2")
    assert text.count('<li>\n      <div class="thumb">') == len(record["history"]) == 40
    number = record["history"][0]["item_id"].removeprefix("item-")
    assert f">title {number}</a>" in text
    assert record["attributes"]["country"] in text
    assert f"{record['filters']['seen']['items']} in {record['filters']['seen']['bits']:,} bits" in text


def test_a_person_of_whom_nothing_is_known_is_said_to_be_so(site: Site) -> None:
    assert "Nothing is known of this user" in site.text("/person", user="nobody-at-all")
    assert site.get("/person").status_code == 400


@pytest.mark.parametrize("query", ["x" * 5000, "\0", "%", "*", "user-\n"])
def test_odd_searches_find_nobody(site: Site, query: str) -> None:
    assert site.get("/people", q=query).status_code in (200, 400)


def test_without_redis_the_page_says_what_is_missing(explore: Explore) -> None:
    with explore(REDIS_URL="redis://127.0.0.1:9/0") as alone:
        assert "Redis, which has the log of impressions, does not answer" in alone.text("/people")
