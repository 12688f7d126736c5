"""Promote and roll back from the pages, with a stack that follows; its sidecar and transformer are stubs."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.explorer.site import Site, exploring
from tests.support.lifecycle.stub_stack import stub_home, write_models, write_release
from tests.support.until import until
from winnow.lifecycle.live import live, promote
from winnow.local.stack import Stack
from winnow.local.stack_state import running
from winnow.ports import Ports

HEADING = re.compile(r"<h1>([^<]*)</h1>")
SAID = re.compile(r"<strong>([^<]*)</strong>")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose release 1 is live, with releases 2 and 3."""
    home = stub_home(tmp_path, monkeypatch)
    for number in (2, 3):
        write_models(home / "model_repository" / str(number), number)
        write_release(home / "releases" / str(number), number)
    promote(str(home), 1)
    return home


@pytest.fixture
def stack(home: Path) -> Iterator[Stack]:
    with Stack(1, Ports.free(), show_progress=False) as running_stack:
        yield running_stack


@pytest.fixture
def site(home: Path, stack: Stack, tmp_path: Path) -> Iterator[Site]:
    redis_url = f"redis://127.0.0.1:{stack.ports.redis}/0"
    with exploring(home, f"http://127.0.0.1:{stack.ports.http}", redis_url, tmp_path / "explorer.log") as running_site:
        yield running_site


def ask(site: Site, number: int, live_release: int, gate: str = "skip") -> int:
    """Send the form of a promotion; gives the status."""
    page = f"/releases/{number}/promote"
    response = site.post(page, {"live": str(live_release), "gate": gate}, page=page)
    if response.status_code == 303:
        assert response.headers["location"] == "/releases/change"
    return response.status_code


def ended(site: Site, stack: Stack | None = None) -> str:
    """The page of the change once it has ended; the stack follows meanwhile."""

    def has() -> bool:
        if stack is not None:
            stack.follow()
        return "What the command said" in site.text("/releases/change")

    until(has, 60)
    return site.text("/releases/change")


def test_a_release_becomes_live_and_the_one_before_again(site: Site, stack: Stack, home: Path) -> None:
    assert ask(site, 2, 1) == 303
    text = site.text("/releases/change")
    assert HEADING.findall(text) == ["Promotion of release 2"]
    assert 'hx-trigger="every 1s"' in text
    text = ended(site, stack)
    assert SAID.findall(text) == ["Release 2 is live."]
    assert "served at http://127.0.0.1:" in text
    assert "hx-trigger" not in text
    state = running()
    assert state is not None
    assert (state.release, state.warm) == (2, 1)
    page = site.text("/releases/rollback")
    assert "Release 1 still runs" in page
    response = site.post("/releases/rollback", {"live": "2", "to": "1"}, page="/releases/rollback")
    assert response.status_code == 303
    assert SAID.findall(ended(site, stack)) == ["Release 1 is live."]
    state, pin = running(), live(str(home))
    assert state is not None
    assert pin is not None
    assert (state.release, pin.release, pin.previous) == (1, 1, None)
    assert site.get("/releases/rollback").status_code == 409


def test_what_does_not_become_ready_is_refused_with_the_whole_reason(
    site: Site, stack: Stack, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEGRADED", "ranker:UNAVAILABLE<script>")
    monkeypatch.setattr("winnow.local.chain.FIRST_ANSWER_SECONDS", 0.5)
    assert ask(site, 3, 1) == 303
    text = ended(site, stack)
    assert SAID.findall(text) == ["The promotion failed. Release 1 is live."]
    assert "release 1 stays live: " in text
    assert "still degraded (ranker:UNAVAILABLE&lt;script&gt;)" in text
    assert "start the stack again" in text
    pin = live(str(home))
    assert pin is not None
    assert pin.release == 1


def test_the_gate_refuses_and_nothing_moves(site: Site, home: Path) -> None:
    assert ask(site, 2, 1, gate="ask") == 303
    text = ended(site)
    assert SAID.findall(text) == ["The gate refuses release 2; release 1 stays live."]
    assert "run `winnow evaluate 2`" in text
    assert "✗ refused" in site.text("/releases/2")
    pin = live(str(home))
    assert pin is not None
    assert pin.release == 1


def test_two_at_once_are_refused_in_every_explorer_and_a_restart_loses_nothing(
    site: Site, stack: Stack, home: Path, tmp_path: Path
) -> None:
    address, redis_url = f"http://127.0.0.1:{stack.ports.http}", f"redis://127.0.0.1:{stack.ports.redis}/0"
    with exploring(home, address, redis_url, tmp_path / "first.log") as first:
        assert ask(first, 2, 1) == 303
        until(lambda: "the stack starts it" in site.text("/releases/change"), 30)
        for explorer in (first, site):
            assert ask(explorer, 3, 2) == 409
    # The explorer that started it has ended; the command goes on.
    assert "the stack starts it" in site.text("/releases/change")
    assert ask(site, 3, 2) == 409
    text = ended(site, stack)
    assert SAID.findall(text) == ["The explorer was stopped before the promotion ended. Release 2 is live."]
    assert "served at http://127.0.0.1:" in text


def test_the_page_is_sent_again_only_when_the_step_has_changed(site: Site, stack: Stack) -> None:
    assert ask(site, 2, 1) == 303
    until(lambda: "step=moving" in site.text("/releases/change"), 30)
    assert site.get("/releases/change", step="moving").status_code == 204
    part = site.http.get("/releases/change", params={"step": "checking"}, headers={"hx-request": "true"})
    assert part.status_code == 200
    assert part.text.lstrip().startswith("<section")
    ended(site, stack)
