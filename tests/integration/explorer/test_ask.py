"""Asking in every form: the cards and the funnel say what the recommender answered."""

import re
from html import unescape
from typing import Any

import pytest

from tests.support.explorer.site import Site

PART = {"HX-Request": "true", "HX-Target": "detail"}


def cards(text: str) -> list[str]:
    """The items of the answer's cards, in order."""
    listed = text[text.index('class="answer"') : text.index("</ol>", text.index('class="answer"'))]
    return re.findall(r'<h3><a href="[^"]*item=([^"#&]*)#detail"', listed)


def opened(site: Site, text: str, words: str) -> str:
    """What a link of the page opens."""
    found = re.search(rf'href="(/ask\?[^"#]*{words})#detail"', text)
    assert found, words
    response = site.http.get(unescape(found[1]), headers=PART)
    assert response.status_code == 200
    return response.text


def answer(site: Site, **request: Any) -> dict[str, Any]:
    """What the recommender says itself."""
    assert site.server is not None
    status, body = site.server.v1(request | {"debug": True, "reasons": True, "deadline_ms": 1000})
    assert status == 200, body
    only: dict[str, Any] = body["predictions"][0]
    return only


def ids(given: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in given["items"]]


@pytest.mark.parametrize(
    ("fields", "request_fields"),
    [
        ({"user": "user-3", "k": "7"}, {"user_id": "user-3", "k": 7}),
        ({"like": "item-9", "k": "5"}, {"like": "item-9", "k": 5}),
        ({"like": "item-9", "relation": "complementary"}, {"like": "item-9", "relation": "complementary", "k": 12}),
        (
            {"session": "item-4\r\nbuy: item-8", "k": "6"},
            {"items": [{"item_id": "item-4"}, {"item_id": "item-8", "event": "buy"}], "k": 6},
        ),
        ({"text": "a red ball", "k": "4"}, {"query": {"text": "a red ball"}, "k": 4}),
        ({"user": "user-3", "where": "price < 50"}, {"user_id": "user-3", "filters": {"where": "price < 50"}, "k": 12}),
        (
            {"user": "user-3", "category": "toys", "diversity": "0"},
            {"user_id": "user-3", "filters": {"categories": ["toys"]}, "diversity": 0.0, "k": 12},
        ),
    ],
    ids=lambda fields: "-".join(fields),
)
def test_the_cards_are_the_recommenders_answer(
    site: Site, fields: dict[str, str], request_fields: dict[str, Any]
) -> None:
    text, expected = site.text("/ask", **fields), answer(site, **request_fields)
    assert cards(text) == ids(expected)
    for item in expected["items"]:
        assert item["reason"]["text"] in unescape(text)
        assert f">title {item['item_id'].removeprefix('item-')}</a>" in text


def test_the_funnel_has_the_counts_of_the_trace(site: Site) -> None:
    text = site.text("/ask", user="user-2")
    trace = answer(site, user_id="user-2", k=12)["trace"]
    for source in trace["sources"]:
        count = sum(source in candidate["sources"] for candidate in trace["candidates"])
        assert re.search(rf">{source}</a> <b>{count}</b>", text)
        assert opened(site, text, f"stage=found%3A{source}").count("<tr>") == count + 1
    for component, count in trace["removed"].items():
        assert f">{component}</a> <b>\N{MINUS SIGN}{count}</b>" in text
        rows = opened(site, text, f"stage=removed%3A{component}")
        assert rows.count("<tr>") == count + 1
        assert next(one["reason"] for one in trace["candidates"] if one.get("removed_by") == component) in unescape(
            rows
        )
    ranked = sum("ranked" in candidate for candidate in trace["candidates"])
    assert opened(site, text, "stage=ranked").count("<tr>") == ranked + 1
    assert opened(site, text, "stage=shown").count("<tr>") == 13


def test_an_item_says_why_it_is_there(site: Site) -> None:
    text, expected = site.text("/ask", user="user-2"), answer(site, user_id="user-2", k=12)
    first = expected["items"][0]
    found = next(one for one in expected["trace"]["candidates"] if one["item_id"] == first["item_id"])
    shown = unescape(opened(site, text, f"item={first['item_id']}"))
    assert "Shown at place 1" in shown
    assert first["reason"]["text"] in shown
    for source in found["sources"]:
        assert f'<th scope="row">{source}</th>' in shown
    for feature in found["features"]:
        assert f'<th scope="row">{feature}</th>' in shown
    for event in found["types"]:
        assert f'<th scope="row">{event} ' in shown
    assert "Features as the ranker got them" in shown
    assert re.search(r"\(0 is the mean\), (of the release|read [\d.e-]+ s before)", shown)


def test_a_removed_item_says_by_which_filter_and_why(site: Site) -> None:
    text = site.text("/ask", user="user-2")
    rows = opened(site, text, "stage=removed%3Aseen")
    item = re.search(r"item=(item-\d+)#", rows)
    assert item
    shown = opened(site, rows, f"item={item[1]}")
    assert "Removed by the filter <b>seen</b>: in the user&#39;s seen filter" in shown


def test_a_click_asks_nothing_again(site: Site) -> None:
    assert site.server is not None
    text = site.text("/ask", user="user-5")
    count = site.server.metric('winnow_stage_seconds_count{component="user_state",stage="query_hydrators"}')
    opened(site, text, "stage=ranked")
    assert site.server.metric('winnow_stage_seconds_count{component="user_state",stage="query_hydrators"}') == count > 0


def test_a_long_answer_is_shown_in_parts_and_asked_for_once(site: Site) -> None:
    assert site.server is not None
    expected = ids(answer(site, user_id="user-7", k=130))
    assert len(expected) == 130
    text, lengths = site.text("/ask", user="user-7", k="130"), []
    asked = site.server.metric('winnow_stage_seconds_count{component="user_state",stage="query_hydrators"}')
    while more := re.search(r'href="(/ask\?[^"#]*)#place-(\d+)"', text):
        lengths.append(len(cards(text)))
        assert more[2] == str(lengths[-1] + 1)
        text = site.http.get(unescape(more[1]), headers=PART | {"HX-Target": "cards"}).text
        assert f'id="place-{more[2]}"' in text
        focused = re.search(r'item=([^"#&]*)#detail"[^>]* data-focus>', text)
        assert focused
        assert focused[1] == expected[lengths[-1]]
    assert lengths == [60, 120]
    assert cards(text) == expected
    assert site.server.metric('winnow_stage_seconds_count{component="user_state",stage="query_hydrators"}') == asked
    assert site.http.get("/ask?user=user-7&shown=0").status_code == 400


def test_an_address_is_answered_without_the_answer_that_it_names(site: Site) -> None:
    text = site.text("/ask", user="user-5", answer="0" * 32, stage="removed", item="")
    assert cards(text) == ids(answer(site, user_id="user-5", k=12))


def test_unknown_items_of_a_session_are_named(site: Site) -> None:
    text = site.text("/ask", session="item-4\nno-such-item\nbuy: <b>none</b>")
    assert cards(text) == ids(answer(site, items=[{"item_id": "item-4"}], k=12))
    assert "left out of the session: no-such-item, &lt;b&gt;none&lt;/b&gt;</p>" in text
    assert "left out of the session" not in site.text("/ask", session="item-4")


def test_a_late_component_is_named(site: Site) -> None:
    text = site.text("/ask", user="user-6", deadline="10")
    assert "ms of 10 ms" in text


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"user": "user-1", "k": "0"}, "k: must be a whole number between 1 and 500, got '0'"),
        ({"user": "user-1", "k": "many"}, "k: must be a whole number between 1 and 500, got 'many'"),
        ({"user": "user-1", "diversity": "2"}, "diversity: must be a number between 0 and 1, got '2'"),
        ({"user": "user-1", "deadline": "1"}, "deadline: must be a whole number between 10 and 10,000, got '1'"),
        ({"user": "user-1", "where": "colour = 1"}, "filters.where: column 'colour' at character 1 is not a column"),
        ({"like": "no-such-item"}, "no-such-item"),
        ({"media": "image-0"}, "media: the uploaded file is no longer held; choose it again"),
        ({"text": "x", "like": "item-1"}, "like: cannot be combined with query"),
    ],
)
def test_a_wrong_field_is_named_beside_the_form(site: Site, fields: dict[str, str], message: str) -> None:
    response = site.get("/ask", **fields)
    assert response.status_code == 400
    assert message in unescape(response.text)
    assert 'id="ask"' in response.text


def test_a_stage_that_is_none_opens_nothing(site: Site) -> None:
    for stage in ("no", "found:no", "removed:<b>", ":"):
        assert "None." in site.text("/ask", user="user-2", stage=stage)
    assert "was no candidate" in site.text("/ask", user="user-2", item="no-such-item")
