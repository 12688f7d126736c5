"""Releases and comparisons in a real browser: by keyboard and mouse, accessible, and with hostile texts."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, expect

from tests.integration.explorer.browser.conftest import Open
from tests.integration.explorer.browser.test_tasks import Keyboard, Mouse
from tests.integration.explorer.conftest import NUMBER
from tests.support.explorer.browser import DESK, PHONE, faults_of_views
from tests.support.explorer.shelf import BEFORE, GOOD, HOSTILE, LIVE, REFUSED, TWIN, write_shelf
from tests.support.explorer.site import Site, exploring
from tests.support.tiny_release import write_release
from tests.support.transformer_server import Server
from winnow.lifecycle.live import live

VIEWS = [
    "/releases",
    f"/releases/{GOOD}",
    f"/releases/{REFUSED}",
    f"/releases/{GOOD}/difference",
    f"/releases/{REFUSED}/promote",
    f"/releases/{TWIN}/promote",
    "/releases/rollback",
    "/compare",
    "/compare?user=user-1&user2=user-2",
    "/compare?user=user-1&where2=price",
    f"/compare?user=user-1&release2={GOOD}",
]


@pytest.fixture(scope="module")
def site(explored_server: Server, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A home with releases in every state beside the served one."""
    home: Path = tmp_path_factory.mktemp("shelf")
    write_shelf(home)
    write_release(home / "releases", NUMBER)
    (home / "evaluations" / str(TWIN) / "report.html").write_text("<title>report</title><p>the report")
    with exploring(home, explored_server, redis_url, home / "explorer.log") as running:
        yield running


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_no_view_has_a_serious_fault(visit: Open, axe: str, theme: str, size: dict[str, int]) -> None:
    page = visit("/releases", viewport=size, color_scheme=theme, bypass_csp=True)
    assert faults_of_views(page, axe, VIEWS, size["width"]) == {}


@pytest.mark.slow
def test_hostile_texts_are_shown_and_not_run(visit: Open) -> None:
    page = visit("/releases")
    hostile = urlencode({"user": HOSTILE, "user2": HOSTILE, "where2": HOSTILE})
    for address in (*VIEWS, f"/compare?{hostile}", f"/compare?{urlencode({'user': 'u', 'k': HOSTILE})}"):
        page.goto(address)
        if address.startswith("/compare?user=%3C"):
            assert HOSTILE in page.locator("h2").last.inner_text()
        assert page.evaluate("document.querySelectorAll('[onerror], [onload]').length") == 0, address
        scripts = page.evaluate("[...document.scripts].map((script) => script.getAttribute('src'))")
        assert all(src and src.startswith("/static/") for src in scripts), address


@pytest.mark.slow
def test_a_report_is_shown_and_its_scripts_are_not_run(browser: Browser, site: Site) -> None:
    written = site.home / "evaluations" / str(TWIN) / "report.html"
    before = written.read_text()
    written.write_text(f"{before}<script>top.hacked=1</script><img src=x onerror=parent.hacked=2>")
    said: list[str] = []
    try:
        page = browser.new_page(base_url=site.url)
        page.on("console", lambda message: said.append(message.text))
        page.goto(f"/releases/{GOOD}")
        page.locator("iframe").scroll_into_view_if_needed()
        expect(page.frame_locator("iframe").get_by_text("the report")).to_be_visible()
        assert page.evaluate("window.hacked") is None
        page.goto(f"/releases/{GOOD}/report")
        expect(page.get_by_text("the report")).to_be_visible()
        assert page.title() == "report"
        page.close()
    finally:
        written.write_text(before)
    assert any("sandboxed" in text for text in said), said


@pytest.mark.slow
@pytest.mark.parametrize(("hand", "size"), [(Mouse(), PHONE), (Keyboard(), DESK)], ids=["mouse", "keyboard"])
def test_promote_and_roll_back(visit: Open, site: Site, hand: Mouse | Keyboard, size: dict[str, int]) -> None:
    page = visit("/releases", viewport=size)
    hand.press(page.get_by_role("link", name=f"Release {GOOD}", exact=True))
    hand.press(page.get_by_role("link", name="Promote…"))
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Promote release {GOOD}?")
    hand.choose(page.get_by_label("Do not judge it"))
    hand.press(page.get_by_role("button", name=f"Promote release {GOOD}"))
    # The page follows the command by itself.
    expect(page.get_by_text(f"Release {GOOD} is live.", exact=True)).to_be_visible()
    expect(page.get_by_text("No stack is running")).to_be_visible()
    pin = live(str(site.home))
    assert pin is not None
    assert (pin.release, pin.previous) == (GOOD, LIVE)
    hand.press(page.get_by_role("link", name="All releases"))
    hand.press(page.get_by_role("link", name=f"Roll back to {LIVE}…"))
    hand.press(page.get_by_role("button", name=f"Roll back to release {LIVE}"))
    expect(page.get_by_text(f"Release {LIVE} is live.", exact=True)).to_be_visible()
    pin = live(str(site.home))
    assert pin is not None
    assert (pin.release, pin.previous) == (LIVE, BEFORE)


@pytest.mark.slow
@pytest.mark.parametrize(("hand", "size"), [(Mouse(), PHONE), (Keyboard(), DESK)], ids=["mouse", "keyboard"])
def test_compare_two_users(visit: Open, hand: Mouse | Keyboard, size: dict[str, int]) -> None:
    page = visit("/compare", viewport=size)
    left, right = page.get_by_role("group", name="Left", exact=True), page.get_by_role("group", name="Right an empty")
    hand.write(left.get_by_label("User"), "user-1")
    hand.write(right.get_by_label("User"), "user-2")
    hand.press(page.get_by_role("button", name="Compare"))
    expect(page.get_by_text("Rank-biased overlap")).to_be_visible()
    for name in ("Left: user-1", "Right: user-2"):
        region = page.get_by_role("region", name=name)
        expect(region.get_by_role("listitem")).to_have_count(10)
