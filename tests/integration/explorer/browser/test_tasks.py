"""The tasks of a visitor, by mouse and by keyboard alone, at desk and at phone width."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.integration.explorer.browser.conftest import Open
from tests.support.explorer.browser import DESK, PHONE
from tests.support.explorer.site import Site

MOST_TABS = 300


class Mouse:
    """Clicks."""

    def press(self, target: Locator) -> None:
        """Click an element."""
        target.click()

    def write(self, target: Locator, text: str) -> None:
        """Fill a field."""
        target.click()
        target.fill(text)

    def choose(self, target: Locator) -> None:
        """Choose one of several radio buttons."""
        target.check()


class Keyboard:
    """Reaches elements with the tab key alone."""

    def press(self, target: Locator) -> None:
        """Go to an element, whose focus must be seen, and press Enter."""
        self._reach(target)
        target.page.keyboard.press("Enter")

    def write(self, target: Locator, text: str) -> None:
        """Go to a field, and type."""
        self._reach(target)
        target.page.keyboard.press("Control+A")
        target.page.keyboard.type(text)

    def choose(self, target: Locator) -> None:
        """Go to the group of a radio button, and along it with the arrow keys."""
        self._reach(target.page.locator(f"input[name={target.get_attribute('name')}]:checked"))
        for _ in range(MOST_TABS):
            if target.is_checked():
                return
            target.page.keyboard.press("ArrowDown")

    def _reach(self, target: Locator) -> None:
        target.wait_for()
        for _ in range(MOST_TABS):
            if target.evaluate("element => element === document.activeElement"):
                style = target.evaluate("element => getComputedStyle(element).outlineStyle")
                assert style != "none", "the focus is not seen"
                return
            target.page.keyboard.press("Tab")
        raise AssertionError(f"the tab key does not reach {target}")


@pytest.fixture(params=[(Mouse(), PHONE), (Keyboard(), DESK)], ids=["mouse-phone", "keyboard-desk"])
def hand(request: pytest.FixtureRequest) -> Any:
    """How the visitor acts, and the size of the window."""
    return request.param


@pytest.mark.slow
def test_from_the_first_page_to_the_reason_of_an_item(visit: Open, hand: Any) -> None:
    by, size = hand
    page = visit("/", viewport=size)
    by.press(page.get_by_role("link", name="See why, item by item"))
    expect(page.get_by_role("heading", level=1)).to_contain_text("Recommended to user-")
    first = page.locator(".item h3 a").first
    title = first.inner_text()
    by.press(first)
    expect(page.locator("#detail-title")).to_have_text(title)
    expect(page.locator("#detail-title")).to_be_focused()
    expect(page.locator("#detail")).to_contain_text("Shown at place 1")
    by.press(page.locator(".stages").get_by_role("link", name="seen"))
    expect(page.locator("#detail-title")).to_contain_text("Removed by seen")
    by.press(page.locator("#detail table a").first)
    expect(page.locator("#detail")).to_contain_text("Removed by the filter seen")
    # What is open is in the address.
    again = visit(page.url.partition(page.evaluate("location.origin"))[2], viewport=size)
    expect(again.locator("#detail")).to_contain_text("Removed by the filter seen")


@pytest.mark.slow
def test_a_person_is_found_and_asked_for(visit: Open, hand: Any) -> None:
    by, size = hand
    page = visit("/people", viewport=size)
    by.write(page.get_by_label("Find a user by id"), "user-12")
    by.press(page.locator("#found").get_by_role("link", name="user-12"))
    expect(page.get_by_role("heading", name="History")).to_be_visible()
    by.press(page.get_by_role("link", name="Ask for this user"))
    expect(page.get_by_role("heading", level=1)).to_have_text("Recommended to user-12")
    expect(page.locator(".item")).to_have_count(12)


@pytest.mark.slow
def test_asking_with_a_filter(visit: Open, hand: Any) -> None:
    by, size = hand
    page = visit("/ask", viewport=size)
    by.write(page.get_by_label("User"), "user-3")
    by.press(page.get_by_text("Session, filters, diversity, deadline"))
    by.write(page.get_by_label("Filter"), "price < 50")
    by.write(page.get_by_label("Items"), "4")
    by.press(page.get_by_role("button", name="Ask", exact=True))
    expect(page.locator(".item")).to_have_count(4)
    for price in page.locator(".item .price").all_inner_texts():
        assert float(price) < 50


@pytest.mark.slow
def test_a_long_answer_is_read_to_its_end(visit: Open, hand: Any) -> None:
    by, size = hand
    page = visit("/ask?user=user-13&k=100", viewport=size)
    expect(page.locator(".item")).to_have_count(60)
    by.press(page.get_by_role("link", name="Show 40 more of 100"))
    expect(page.locator(".item")).to_have_count(100)
    expect(page.locator("#place-61 h3 a")).to_be_focused()
    expect(page.get_by_role("link", name="more of 100")).to_have_count(0)
    assert "shown=100" in page.url


@pytest.mark.slow
def test_buying_changes_the_list_in_front_of_the_visitor(visit: Open, hand: Any) -> None:
    by, size = hand
    page = visit("/ask?user=user-14", viewport=size)
    card = page.locator(".item").first
    title = card.locator("h3").inner_text()
    by.press(card.get_by_text("Act", exact=True))
    by.press(card.get_by_role("button", name="buy"))
    said = page.get_by_role("status").first
    expect(said).to_contain_text("was sent for user-14")
    expect(said).to_be_focused()
    expect(said).to_be_in_viewport()
    expect(page.locator(".gone")).to_contain_text(title)
    expect(page.locator(".item h3").filter(has_text=re.compile(f"^{title}$"))).to_have_count(0)
    assert "before=" in page.url


@pytest.mark.slow
def test_taking_down_and_putting_back(visit: Open, hand: Any) -> None:
    by, size = hand
    page = visit("/ask?user=user-15", viewport=size)
    card = page.locator(".item").nth(1)
    title = card.locator("h3").inner_text()
    by.press(card.get_by_text("Act", exact=True))
    by.press(card.get_by_role("button", name="Take down"))
    expect(page.locator(".gone")).to_contain_text(title)
    by.press(page.locator(".gone").get_by_role("button", name="Put back"))
    expect(page.get_by_role("status").first).to_contain_text("put back")
    expect(page.locator(".item h3").filter(has_text=re.compile(f"^{title}$"))).to_have_count(1)


@pytest.mark.slow
def test_a_new_price_moves_an_item_out_of_a_filter(visit: Open, site: Site, hand: Any) -> None:
    by, size = hand
    page = visit("/ask?user=user-16&where=price+%3C+50", viewport=size)
    card = page.locator(".item").first
    title, price = card.locator("h3").inner_text(), float(card.locator(".price").inner_text())
    try:
        by.press(card.get_by_text("Act", exact=True))
        by.write(card.get_by_label("Price"), "60")
        by.press(card.get_by_role("button", name="Change"))
        expect(page.locator(".gone")).to_contain_text(title)
        expect(page.locator(".item h3").filter(has_text=re.compile(f"^{title}$"))).to_have_count(0)
    finally:
        assert site.server is not None
        site.server.v1({"item_id": title.replace("title ", "item-"), "price": price}, model="items")


@pytest.mark.slow
@pytest.mark.parametrize("file", ["1.png", "1.wav"])
def test_asking_with_a_dropped_file(visit: Open, site: Site, file: str) -> None:
    page = visit("/ask")
    content = list((site.home / "shop" / file).read_bytes())
    page.evaluate(
        """([name, content]) => {
          const files = new DataTransfer();
          files.items.add(new File([new Uint8Array(content)], name));
          const event = new DragEvent("drop", {dataTransfer: files, bubbles: true, cancelable: true});
          document.getElementById("drop").dispatchEvent(event);
        }""",
        [file, content],
    )
    expect(page.locator(".item")).to_have_count(12)
    expect(page.locator(".asked-media")).to_be_visible()


@pytest.mark.slow
def test_asking_with_a_chosen_file(visit: Open, site: Site) -> None:
    page = visit("/ask?k=3")
    page.get_by_label("Picture or sound").set_input_files(Path(site.home / "shop" / "2.jpeg"))
    page.get_by_role("button", name="Ask with this file").press("Enter")
    expect(page.locator(".item")).to_have_count(3)


@pytest.mark.slow
def test_asking_with_a_recorded_sound(visit: Open) -> None:
    page = visit("/ask?k=3", permissions=["microphone"])
    page.get_by_role("button", name="Record a sound").press("Enter")
    stop = page.get_by_role("button", name="Stop and ask")
    stop.wait_for()
    page.wait_for_timeout(1000)
    stop.press("Enter")
    expect(page.locator(".item")).to_have_count(3)
    expect(page.locator(".asked-media audio")).to_be_visible()


def test_without_scripts_the_pages_work(browser: Any, site: Site) -> None:
    context = browser.new_context(base_url=site.url, java_script_enabled=False)
    page: Page = context.new_page()
    page.goto("/people")
    page.get_by_label("Find a user by id").fill("user-12")
    page.get_by_role("button", name="Find").click()
    page.locator("#found").get_by_role("link", name="user-12").click()
    page.get_by_role("link", name="Ask for this user").click()
    page.locator(".item h3 a").first.click()
    expect(page.locator("#detail")).to_contain_text("Shown at place 1")
    card = page.locator(".item").first
    card.get_by_text("Act", exact=True).click()
    card.get_by_role("button", name="view").click()
    expect(page.get_by_role("status").first).to_contain_text("was sent for user-12")
    context.close()
