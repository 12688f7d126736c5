"""Titles, categories, ids and events with markup and scripts are shown, not run, on every view."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.integration.explorer.browser.conftest import Open
from tests.support.explorer.site import Site

SCRIPT = "<script>window.hacked=1</script>"
IMAGE = "<img src=x onerror=window.hacked=2>"
QUOTES = "\"'><svg onload=window.hacked=3>"
TEMPLATE = "{{ 7 * 7 }}{% raw %}"
LINK = "javascript:window.hacked=4"
HOSTILE = [SCRIPT, IMAGE, QUOTES, TEMPLATE, LINK, "</textarea></title>" + SCRIPT]
SHOWN = "[document.body.innerText, ...[...document.querySelectorAll('input')].map((field) => field.value)].join(' ')"
USER = 'user-"><script>window.hacked=5</script>'


@pytest.fixture(scope="module")
def planted(site: Site) -> Iterator[list[str]]:
    """Ids of items that are hostile, as are their texts; a hostile user has seen them. They are deleted at the end."""
    assert site.server is not None
    items = [f"{text}-{number}" for number, text in enumerate(HOSTILE)]
    for item, text in zip(items, HOSTILE, strict=True):
        document: dict[str, Any] = {"item_id": item, "title": f"title {text}", "description": text, "price": 1.0}
        status, body = site.server.v1({**document, "category": text, "features": {"tags": [text]}}, model="items")
        assert status == 200, body
        status, body = site.server.v1({"user_id": USER, "item_id": item, "event": "view"}, model="events")
        assert status == 200, body
    yield items
    for item in items:
        site.server.v1({"item_id": item, "action": "delete"}, model="items")


def views(items: list[str]) -> dict[str, str]:
    """Address -> a text that must be on it."""
    found = {
        "/people?" + urlencode({"q": USER}): USER,
        "/person?" + urlencode({"user": USER}): f"title {SCRIPT}",
        "/ask?" + urlencode({"user": USER}): USER,
        "/ask?" + urlencode({"text": SCRIPT, "where": "price <= 1", "k": 3}): "title ",
        "/ask?" + urlencode({"session": "\n".join(items[:3]), "where": "price <= 1"}): "title",
        "/ask?" + urlencode({"user": "user-1", "k": SCRIPT}): "k: must be a whole number",
        "/ask?" + urlencode({"user": "user-1", "where": SCRIPT}): "filters.where",
        "/ask?" + urlencode({"user": "user-1", "stage": f"removed:{SCRIPT}"}): SCRIPT,
        "/ask?" + urlencode({"user": "user-1", "did": IMAGE}): IMAGE,
        "/act?" + urlencode({"item": SCRIPT}): "cannot be used",
        "/catalog?" + urlencode({"q": f"title {SCRIPT}"}): f"title {SCRIPT}",
        "/catalog?" + urlencode({"category": SCRIPT, "only": "changed"}): SCRIPT,
        "/map?" + urlencode({"category": SCRIPT, "item": IMAGE}): "no place on the map",
        "/" + SCRIPT: "no such page",
    }
    for item in items:
        found["/item?" + urlencode({"id": item})] = f"title {item.rpartition('-')[0]}"
        found["/ask?" + urlencode({"like": item, "k": 2})] = "The answer"
        found["/ask?" + urlencode({"user": USER, "item": item})] = item
    return found


@pytest.mark.slow
def test_hostile_texts_are_shown_and_not_run(visit: Open, planted: list[str]) -> None:
    page = visit("/")
    for address, text in views(planted).items():
        page.goto(address)
        page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
        assert text in page.evaluate(SHOWN), address
        assert page.evaluate("window.hacked") is None, address
        assert page.evaluate("document.querySelectorAll('[onerror], [onload], a[href^=javascript]').length") == 0
        scripts = page.evaluate("[...document.scripts].map((script) => script.getAttribute('src'))")
        assert all(src and src.startswith("/static/") for src in scripts), address
