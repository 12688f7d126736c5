"""The pages about releases: what each is, its gate, report and differences, and what read-only leaves out."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.explorer.shelf import BEFORE, BROKEN, GOOD, HOSTILE, LIVE, REFUSED, TWIN, write_shelf
from tests.support.explorer.site import Site, exploring
from tests.support.transformer_server import Server
from winnow.explorer.base.security import CONTENT_SECURITY_POLICY
from winnow.explorer.releases.views import REPORT_POLICY


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("shelf")
    write_shelf(home)
    return home


@pytest.fixture(scope="module")
def shelf(home: Path, explored_server: Server, redis_url: str) -> Iterator[Site]:
    with exploring(home, explored_server, redis_url, home / "explorer.log") as site:
        yield site


def rows(text: str) -> dict[int, str]:
    """Release -> its row of the list, without markup."""
    found = re.findall(r'<tr role="row">\s*<th scope="row".*?</tr>', text, re.DOTALL)
    plain = [" ".join(re.sub(r"<[^>]*>", " ", row).split()) for row in found]
    return {int(row.split()[1]): row for row in plain}


def test_the_list_says_what_each_release_is(shelf: Site) -> None:
    text = shelf.text("/releases")
    found = rows(text)
    assert list(found) == [BROKEN, REFUSED, TWIN, GOOD, LIVE, BEFORE]
    assert "Cannot be read" in found[BROKEN]
    assert "✗ refused" in found[REFUSED]
    assert "for evaluation" in found[TWIN]
    assert "✓ passed" in found[GOOD]
    assert found[LIVE].startswith("Release 2 live ")
    assert found[BEFORE].startswith("Release 1 previous ")
    assert "tiny-3" in found[GOOD]
    # The figures are those of the release that was built from the same inputs for evaluation.
    assert re.search(r"0\.\d{4} 0\.\d{4} to 0\.\d{4}", found[GOOD])
    assert "A rollback goes back to" in text


def test_a_page_of_the_list_begins_below_a_number(shelf: Site) -> None:
    assert list(rows(shelf.text("/releases", before=3))) == [LIVE, BEFORE]
    assert shelf.get("/releases", before="x").status_code == 404


@pytest.mark.parametrize("number", [BEFORE, LIVE, GOOD, TWIN, REFUSED, BROKEN])
@pytest.mark.parametrize("page", ["", "/promote"])
def test_every_release_has_its_pages_and_no_text_of_it_is_markup(shelf: Site, number: int, page: str) -> None:
    text = shelf.text(f"/releases/{number}{page}")
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    if number in (GOOD, REFUSED):
        assert "&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;" in text


@pytest.mark.parametrize("number", ["0", "7", "99999999999999999999", "9" * 5000, "x", "-1", "1.5", "²", HOSTILE])
@pytest.mark.parametrize("page", ["", "/promote", "/report", "/difference"])
def test_another_release_is_not_found(shelf: Site, number: str, page: str) -> None:
    response = shelf.get(f"/releases/{number}{page}")
    assert response.status_code == 404
    assert "<script>alert" not in response.text


def test_a_refused_release_shows_the_failed_check_first(shelf: Site) -> None:
    text = shelf.text(f"/releases/{REFUSED}")
    assert text.index("✗ fail") < text.index("✓ pass")
    assert "Not run, because a check above failed: replay, load." in text


def test_the_report_is_in_a_frame_that_reaches_nothing(shelf: Site, home: Path) -> None:
    page = shelf.get(f"/releases/{GOOD}")
    assert page.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert f'src="/releases/{GOOD}/report" sandbox title=' in page.text
    report = shelf.get(f"/releases/{GOOD}/report")
    assert report.status_code == 200
    assert report.headers["content-security-policy"] == REPORT_POLICY
    assert "sandbox" in REPORT_POLICY.split("; ")
    assert report.headers["x-content-type-options"] == "nosniff"
    assert "ndcg@10" in report.text
    written = home / "evaluations" / str(TWIN) / "report.html"
    assert not written.exists(), "a page that is read writes nothing"
    written.write_text("<p>the report of the pipeline")
    assert shelf.text(f"/releases/{GOOD}/report") == "<p>the report of the pipeline"
    written.unlink()


def test_differences_are_those_of_the_command(shelf: Site) -> None:
    text = shelf.text(f"/releases/{GOOD}/difference")
    assert f"What differs between releases {LIVE} and {GOOD}" in text
    assert '<td class="words">tiny-2</td><td class="words">tiny-3</td>' in text
    assert "tiny-1" in shelf.text(f"/releases/{GOOD}/difference", **{"from": BEFORE})
    assert "They do not differ." in shelf.text(f"/releases/{GOOD}/difference", **{"from": GOOD})
    assert shelf.get(f"/releases/{GOOD}/difference", **{"from": BROKEN}).status_code == 400
    assert shelf.get(f"/releases/{GOOD}/difference", **{"from": 77}).status_code == 400


def test_what_cannot_be_promoted_says_why_and_is_refused(shelf: Site, home: Path) -> None:
    before = (home / "live.json").read_bytes()
    for number, reason in ((TWIN, "without the newest events"), (LIVE, "is live already"), (BROKEN, "not a release")):
        page = f"/releases/{number}/promote"
        assert reason in shelf.text(page)
        assert "<button" not in shelf.text(page)
        response = shelf.post(page, {"live": str(LIVE), "gate": "skip"}, page=f"/releases/{GOOD}/promote")
        assert (response.status_code, reason in response.text) == (409, True)
    assert (home / "live.json").read_bytes() == before


def test_a_form_of_before_another_change_changes_nothing(shelf: Site, home: Path) -> None:
    before = (home / "live.json").read_bytes()
    page = f"/releases/{GOOD}/promote"
    for live in (str(BEFORE), "", "x"):
        assert shelf.post(page, {"live": live, "gate": "skip"}, page=page).status_code == 409
    for form in ({"live": str(LIVE), "to": str(GOOD)}, {"live": str(GOOD), "to": str(BEFORE)}):
        assert shelf.post("/releases/rollback", form, page=page).status_code == 409
    assert shelf.post("/releases/rollback", {"live": str(LIVE)}, page=page).status_code == 404
    assert (home / "live.json").read_bytes() == before
    assert shelf.get("/releases/change").status_code == 404


def test_read_only_shows_all_and_offers_nothing(
    home: Path, explored_server: Server, redis_url: str, tmp_path: Path
) -> None:
    with exploring(home, explored_server, redis_url, tmp_path / "log", "--read-only") as site:
        for path in ("/releases", f"/releases/{GOOD}", f"/releases/{LIVE}"):
            text = site.text(path)
            assert "Promote" not in text
            assert "Roll back to" not in text
        for path in (f"/releases/{GOOD}/promote", "/releases/rollback"):
            assert site.get(path).status_code == 403
            response = site.http.post(path, data={"live": str(LIVE)}, headers={"origin": site.url})
            assert response.status_code == 403
