"""A real browser on the explorer of a tiny release."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from tests.support.explorer.browser import DESK, axe_script, browsing, chromium
from tests.support.explorer.site import Site

Open = Callable[..., Page]

# A busy machine needs seconds to start a command that a page follows.
expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, for one file: Playwright keeps an event loop running, in which no other test could start its own."""
    if chromium() is None:
        pytest.skip("no Chromium on the PATH: install Debian's package chromium")
    with browsing() as running:
        yield running


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The program of axe-core."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not on the PATH")
    return axe_script(Path(tmp_path_factory.mktemp("axe")) / "axe")


def is_fault(message: ConsoleMessage) -> bool:
    """Whether a message of the console is of something that failed, other than a page that is refused on purpose."""
    return message.type in ("error", "warning") and "responded with a status of 4" not in message.text


@pytest.fixture
def visit(browser: Browser, site: Site) -> Iterator[Open]:
    """Open a page: ``visit("/ask", viewport=PHONE)``. At the end no console message may be left that names a fault."""
    said: list[str] = []
    contexts = []

    def visiting(path: str, viewport: Any = DESK, **options: Any) -> Page:
        context = browser.new_context(base_url=site.url, viewport=viewport, **options)
        contexts.append(context)
        context.set_default_timeout(30_000)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text) if is_fault(message) else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: (said.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.goto(path)
        return page

    yield visiting
    for context in contexts:
        context.close()
    assert said == []
