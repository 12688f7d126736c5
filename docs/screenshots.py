"""Pictures of the explorer: ``python docs/screenshots.py [ADDRESS]`` while ``make demo`` serves.

Writes every view at desk width (light) and phone width (dark) to ``docs/explorer/``. Needs Chromium on the PATH.
"""

import io
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, ViewportSize, sync_playwright

OUT = Path(__file__).parent / "explorer"
SIZES: dict[str, tuple[ViewportSize, str]] = {
    "desk": ({"width": 1280, "height": 900}, "light"),
    "phone": ({"width": 360, "height": 740}, "dark"),
}
COLOURS = 128


def first_release(page: Page) -> None:
    """Open the first release of the list."""
    page.locator(".releases tbody a").first.click()


def first_item(page: Page) -> None:
    """Open the first item of the catalog."""
    page.locator(".items a").first.click()


def seen_items(page: Page) -> None:
    """Open what a filter removed, below the funnel."""
    page.locator(".stages").get_by_role("link", name="seen").click()
    page.locator("#detail table").wait_for()
    page.evaluate("document.querySelector('.funnel').scrollIntoView()")


VIEWS: dict[str, tuple[str, Callable[[Page], None] | None]] = {
    "overview": ("/", None),
    "person": ("/person?user=u00042", None),
    "ask": ("/ask?user=u00042", None),
    "funnel": ("/ask?user=u00042", seen_items),
    "compare": ("/compare?user=u00042&diversity2=0", None),
    "catalog": ("/catalog", None),
    "item": ("/catalog", first_item),
    "map": ("/map", None),
    "releases": ("/releases", None),
    "release": ("/releases", first_release),
    "health": ("/health", None),
}
"""View -> its address, and what is done before the picture is taken."""


def main() -> None:
    """Take the pictures."""
    address = sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8088"
    OUT.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for size, (viewport, theme) in SIZES.items():
            page = browser.new_context(base_url=address, viewport=viewport, color_scheme=theme).new_page()
            for view, (path, prepare) in VIEWS.items():
                page.goto(path)
                if prepare is not None:
                    prepare(page)
                page.wait_for_load_state("networkidle")
                picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB").quantize(COLOURS)
                picture.save(OUT / f"{view}-{size}.png", optimize=True)
        browser.close()


if __name__ == "__main__":
    main()
