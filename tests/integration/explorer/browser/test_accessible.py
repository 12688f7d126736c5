"""Every view passes axe-core, in both themes and at both widths, and fits the window."""

import pytest

from tests.integration.explorer.browser.conftest import Open
from tests.support.explorer.browser import DESK, PHONE, faults_of_views

VIEWS = [
    "/",
    "/people?q=user-1",
    "/person?user=user-2",
    "/ask",
    "/ask?user=user-2&stage=removed",
    "/ask?user=user-2&item=item-102",
    "/ask?user=user-2&k=none",
    "/catalog?q=title+4",
    "/item?id=item-7",
    "/map",
    "/map?x=300&y=300&zoom=3&category=music&item=item-9",
    "/health",
    "/no-such-page",
]
"""One address of every view."""


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_no_view_has_a_serious_fault(visit: Open, axe: str, theme: str, size: dict[str, int]) -> None:
    # The script of axe is put into the page, which its policy forbids to others.
    page = visit("/", viewport=size, color_scheme=theme, bypass_csp=True)
    assert faults_of_views(page, axe, VIEWS, size["width"]) == {}
