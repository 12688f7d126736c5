"""Every view passes axe-core, in both themes and at both widths, and fits the window."""

import pytest
from playwright.sync_api import Page

from tests.integration.explorer.browser.conftest import Open
from tests.support.explorer.browser import DESK, PHONE, faults

VIEWS = [
    "/",
    "/people?q=user-1",
    "/person?user=user-2",
    "/ask",
    "/ask?user=user-2&stage=removed",
    "/ask?user=user-2&item=item-102",
    "/ask?user=user-2&k=none",
    "/no-such-page",
]
"""One address of every view."""


def shown_whole(page: Page) -> None:
    """Open what can be opened, so that it is looked at, too."""
    page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_no_view_has_a_serious_fault(visit: Open, axe: str, theme: str, size: dict[str, int]) -> None:
    # The script of axe is put into the page, which its policy forbids to others.
    page = visit("/", viewport=size, color_scheme=theme, bypass_csp=True)
    found = {}
    for view in VIEWS:
        page.goto(view)
        shown_whole(page)
        found[view] = faults(page, axe)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= size["width"], f"{view} is {width} pixels wide"
    assert {view: faults for view, faults in found.items() if faults} == {}
