"""Chromium for the tests of the explorer, and axe-core, which finds faults of accessibility."""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

AXE = Path(__file__).with_name("axe")
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}


def chromium() -> str | None:
    """The browser of the system; ``None`` without one."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextmanager
def browsing() -> Iterator[Browser]:
    """Run Chromium, with a microphone that plays a tone and needs no permission."""
    media = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--disable-dev-shm-usage", *media]
        )
        try:
            yield browser
        finally:
            browser.close()


def axe_script(folder: Path) -> str:
    """The program of axe-core, which npm fetches.

    Args:
        folder: to install it in.
    """
    shutil.copytree(AXE, folder)
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=folder, check=True, capture_output=True)
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()


def faults_of_views(page: Page, axe: str, views: Sequence[str], width: int) -> dict[str, list[str]]:
    """The serious and critical faults of each view that has some, with all that can be opened open.

    Raises:
        AssertionError: a view is wider than the window.
    """
    found = {}
    for view in views:
        page.goto(view)
        page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
        found[view] = faults(page, axe)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{view} is {wide} pixels wide"
    return {view: of_view for view, of_view in found.items() if of_view}


def faults(page: Page, axe: str) -> list[str]:
    """The serious and critical faults of a page, with the elements that have them."""
    page.evaluate(axe)
    found: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{fault['id']}: {fault['help']}: {[node['html'][:200] for node in fault['nodes']]}"
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
    ]
