"""Catalog, map and health in a browser, by keyboard too."""

import re

from playwright.sync_api import Page, expect

from tests.integration.explorer.browser.conftest import Open
from tests.support.explorer.browser import PHONE


def test_typing_finds_items_and_the_address_follows(visit: Open) -> None:
    page = visit("/catalog")
    page.get_by_label("Title or id").press_sequentially("TITLE 123")
    expect(page.locator("#found .item")).to_have_count(1)
    expect(page.locator("#found")).to_contain_text("title 123")
    expect(page).to_have_url(re.compile(r"q=TITLE(%20|\+)123"))
    page.get_by_role("link", name="title 123").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("title 123")
    expect(page.get_by_role("heading", name="Similar items")).to_be_visible()


def test_without_scripts_the_same_form_and_links_work(visit: Open) -> None:
    page = visit("/catalog", java_script_enabled=False)
    page.get_by_label("Title or id").fill("title 123")
    page.get_by_label("Title or id").press("Enter")
    expect(page.locator("#found .item")).to_have_count(1)
    page.goto("/map")
    page.get_by_role("link", name="Zoom in").click()
    expect(page).to_have_url(re.compile(r"zoom=2"))
    expect(page.locator("#map > svg")).to_have_attribute("viewBox", "250.0 250.0 500.0 500.0")
    page.goto("/health")
    expect(page.get_by_role("heading", name="Recommendations")).to_be_visible()


def ready(page: Page) -> None:
    """Wait until the map knows its points."""
    page.wait_for_load_state("networkidle")


def test_the_map_is_read_by_keyboard(visit: Open) -> None:
    page = visit("/map")
    ready(page)
    page.locator("#map").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#map-said")).to_have_text(re.compile(r"^title \d+ · \w+"))
    first = page.locator("#map-said").inner_text()
    expect(page.locator("#tip")).to_have_text(first)
    page.keyboard.press("ArrowRight")
    expect(page.locator("#map-said")).not_to_have_text(first)
    for _ in range(3):
        page.keyboard.press("+")
    expect(page).to_have_url(re.compile(r"zoom=8"))
    expect(page.locator("#in-view caption")).not_to_contain_text("300 items")
    expect(page.locator("#tip")).to_be_visible()
    page.keyboard.press("0")
    expect(page).to_have_url(re.compile(r"/map$"))
    title = page.locator("#map-said").inner_text().split(" · ")[0]
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(title)


def test_the_map_is_moved_by_wheel_drag_and_buttons(visit: Open) -> None:
    page = visit("/map")
    ready(page)
    box = page.locator("#map > svg").bounding_box()
    assert box is not None
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*middle)
    page.mouse.wheel(0, -600)
    expect(page).to_have_url(re.compile(r"zoom=4\.\d+"))
    page.mouse.down()
    page.mouse.move(middle[0] - 80, middle[1], steps=4)
    page.mouse.up()
    expect(page).to_have_url(re.compile(r"x=5[1-9]\d\.\d&"))
    page.get_by_role("link", name="All").click()
    expect(page).to_have_url(re.compile(r"/map$"))
    expect(page.locator("#in-view caption")).to_contain_text("300 items")


def test_a_dot_under_the_pointer_has_a_title_and_a_click_opens_it(visit: Open) -> None:
    page = visit("/map")
    ready(page)
    at = page.evaluate(
        """async () => {
          const points = await (await fetch("/map/points")).json();
          const svg = document.querySelector("#map > svg");
          const place = svg.createSVGPoint();
          place.x = points.x[8];
          place.y = points.y[8];
          const seen = place.matrixTransform(svg.getScreenCTM());
          return [seen.x, seen.y, points.title[8]];
        }"""
    )
    page.mouse.move(at[0], at[1])
    expect(page.locator("#tip")).to_contain_text(at[2])
    page.mouse.click(at[0], at[1])
    expect(page.get_by_role("heading", level=1)).to_have_text(at[2])


def test_a_finger_chooses_and_then_opens(visit: Open) -> None:
    page = visit("/map", viewport=PHONE, has_touch=True)
    ready(page)
    svg = page.locator("#map > svg")
    svg.scroll_into_view_if_needed()
    box = svg.bounding_box()
    assert box is not None
    places = [(x, y) for y in range(20, 300, 30) for x in range(20, 300, 30)]
    for x, y in places:
        page.touchscreen.tap(box["x"] + x, box["y"] + y)
        if page.locator("#tip").is_visible():
            break
    page.touchscreen.tap(box["x"] + x, box["y"] + y)
    expect(page).to_have_url(re.compile(r"/item\?id="))


def test_health_is_renewed_by_itself(visit: Open) -> None:
    page = visit("/health")
    expect(page.locator("#live")).to_contain_text(re.compile(r"are of the last \d+ seconds|Rates need two readings"))
    with page.expect_response(lambda response: "/health" in response.url, timeout=15_000) as renewed:
        pass
    assert renewed.value.status == 200
    page.get_by_role("link", name="Pause").click()
    expect(page).to_have_url(re.compile("live=no"))
