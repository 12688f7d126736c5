"""The explorer of a real stack compares its release with one that it starts for that, and ends."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import Winnow, free_base
from tests.support.explorer.site import exploring
from tests.support.lifecycle.copies import copied
from tests.support.until import until
from winnow.ports import Ports


@pytest.fixture
def copies(winnow: Winnow, tmp_path: Path) -> Iterator[Winnow]:
    """A home with two equal releases."""
    home = tmp_path / "home"
    for number in (1, 2):
        copied(winnow.release(), home, number)
    command = Winnow(home)
    try:
        yield command
    finally:
        command("down")


def beside(home: Path) -> list[int]:
    """Ids of the processes that serve a release for comparisons of a home."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command, variables = (folder / "cmdline").read_bytes(), (folder / "environ").read_bytes()
        except OSError:
            continue
        if b"winnow.explorer.compare" in command and f"WINNOW_HOME={home}\0".encode() in variables:
            found.append(int(folder.name))
    return found


def test_another_release_is_started_compared_and_ended(copies: Winnow, tmp_path: Path) -> None:
    assert copies("promote", "--no-gate", "1").returncode == 0
    ports = Ports.at(base := free_base())
    started = copies("up", "--detach", "--no-explorer", "--predictor=embedded", f"--port-base={base}")
    assert started.returncode == 0, started.stderr
    address, redis_url = f"http://127.0.0.1:{ports.http}", f"redis://127.0.0.1:{ports.redis}/0"
    page = "/compare?user=u1&release2=2"
    with exploring(copies.home, address, redis_url, tmp_path / "explorer.log") as site:
        assert "Start release 2" in site.text(page)
        assert beside(copies.home) == []
        response = site.post("/compare/release", {"user": "u1", "release2": "2"}, page=page)
        assert response.headers["location"] == page
        assert "Release 2 is being started" in site.text(page)
        until(lambda: 'class="ranked"' in site.text(page))
        text = site.text(page)
        assert "10 of 10 items are in both lists" in text
        assert "The lists are the same." in text
        # What happened since the build is known to the release that is live alone; it is sent along.
        answered = httpx.post(
            f"{address}/v1/models/recommender:predict", json={"instances": [{"user_id": "u1"}]}, timeout=30
        )
        item = answered.json()["predictions"][0]["items"][0]["item_id"]
        event = {"user_id": "u1", "item_id": item, "event": "view"}
        sent = httpx.post(f"{address}/v1/models/events:predict", json={"instances": [event]}, timeout=30)
        assert sent.status_code == 200, sent.text
        until(lambda: "1 newer event of the user sent along" in site.text(page))
        assert len(beside(copies.home)) == 1
    until(lambda: beside(copies.home) == [])
