"""What a visitor does changes the next list, and the page marks what changed."""

import re
from typing import Any

import httpx
import pytest

from tests.integration.explorer.conftest import Explore
from tests.integration.explorer.test_ask import cards
from tests.support.explorer.site import Site


def key(text: str) -> str:
    """The key of the answer on a page."""
    found = re.search(r'name="answer" value="([0-9a-f]{32})"', text)
    assert found
    return found[1]


def act(site: Site, text: str, item: str, **fields: Any) -> httpx.Response:
    """Press a button of a card."""
    response = site.post("/act", {"item": item, "answer": key(text), **fields}, page="/ask?user=user-2")
    assert response.status_code == 303, response.text
    return site.http.get(response.headers["location"])


def test_an_event_hides_the_item_and_is_in_the_history(site: Site) -> None:
    text = site.text("/ask", user="user-7")
    item = cards(text)[0]
    after = act(site, text, item, user="user-7", act="event:buy").text
    assert item not in cards(after)
    assert f"buy of {item} was sent for user-7" in after
    assert re.search(r"Compared with before: \d+ new, \d+ gone", after)
    assert 'id="gone"' in after
    title = f"title {item.removeprefix('item-')}"
    assert f">{title}</a>" in after[after.index('id="gone"') :]
    assert after.count("new here") == len(set(cards(after)) - set(cards(text)))
    assert f">{title}</a>" in site.text("/person", user="user-7")


def test_an_item_that_is_taken_down_goes_and_can_be_put_back(site: Site) -> None:
    text = site.text("/ask", user="user-8")
    item = cards(text)[1]
    after = act(site, text, item, user="user-8", act="disable").text
    assert item not in cards(after)
    assert 'value="enable"' in after
    again = act(site, after, item, user="user-8", act="enable").text
    assert item in cards(again)


def test_a_price_is_changed(site: Site) -> None:
    text = site.text("/ask", user="user-9")
    item = cards(text)[2]
    after = act(site, text, item, user="user-9", act="price", price="3,50").text
    assert f"the price of {item} was changed to 3.5" in after
    assert site.server is not None
    _, read = site.server.v1({"item_id": item, "action": "read"}, model="items")
    assert read["predictions"][0]["document"]["price"] == 3.5


def test_the_page_of_an_item_takes_it_down_puts_it_back_and_changes_its_price(site: Site) -> None:
    def press(**fields: str) -> str:
        response = site.post("/act", {"item": "item-61", **fields}, page="/item?id=item-61")
        assert response.status_code == 303
        return site.http.get(response.headers["location"]).text

    down = press(act="disable")
    assert "item-61 was taken down." in down
    assert ">taken down</span>" in down
    assert "In the release" in down
    up = press(act="enable")
    assert ">taken down</span>" not in up
    assert 'value="disable"' in up
    assert "the price of item-61 was changed to 7.25" in press(act="price", price="7.25")
    assert "the price of item-61 was changed to 61" in press(act="price", price="61")


@pytest.mark.parametrize(
    ("fields", "back"),
    [({"user": "user-2", "k": "5"}, "/ask?user=user-2&amp;k=5"), ({}, "/item?id=item-1")],
)
def test_a_wrong_price_leads_back_to_the_page(site: Site, fields: dict[str, str], back: str) -> None:
    given = {"item": "item-1", "act": "price", "price": "free", **fields}
    response = site.post("/act", given, page="/ask?user=user-2")
    assert response.status_code == 400
    assert f'href="{back}"' in response.text
    assert response.headers["hx-push-url"] == "false"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"act": "price", "price": "free"}, "price: must be a number, 0 or above"),
        ({"act": "price", "price": "-1"}, "price: must be a number, 0 or above"),
        ({"act": "price", "price": "inf"}, "price: must be a number, 0 or above"),
        ({"act": "drop"}, "is not an act"),
        ({"act": "event:view"}, "an event needs a user"),
        ({"act": "event:steal", "user": "user-2"}, "steal"),
        ({"act": "disable", "item": ""}, "item: is missing"),
        ({"act": "disable", "item": "no-such-item"}, "no-such-item"),
    ],
)
def test_a_wrong_act_is_refused(site: Site, fields: dict[str, str], message: str) -> None:
    response = site.post("/act", {"item": "item-1"} | fields, page="/ask?user=user-2")
    assert response.status_code == 400
    assert message in response.text


def test_a_read_only_page_has_no_buttons(explore: Explore) -> None:
    with explore("--read-only") as reading:
        text = reading.text("/ask", user="user-2")
        assert "read-only" in text
        assert 'method="post"' not in text
        assert "<button" in text


def test_a_picture_and_a_sound_are_asked_with(site: Site) -> None:
    for kind, path in (("image", "1.png"), ("sound", "1.wav")):
        content = (site.home / "shop" / path).read_bytes()
        response = site.post("/ask/media", {"k": "5"}, page="/ask", files={"file": (path, content)})
        assert response.status_code == 303, response.text
        place = response.headers["location"]
        assert re.fullmatch(rf"/ask\?media={kind}-[0-9a-f]{{32}}&k=5", place)
        text = site.text(place)
        assert len(cards(text)) == 5
        held = re.search(r'src="(/ask/media/[^"]+)"', text)
        assert held
        assert site.get(held[1]).content == content


@pytest.mark.parametrize("content", [b"", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"PK\3\4", b"x" * 1000])
def test_a_file_that_is_neither_is_refused(site: Site, content: bytes) -> None:
    response = site.post("/ask/media", page="/ask", files={"file": ("x.png", content)})
    assert response.status_code == 400
    assert "choose a picture" in response.text
