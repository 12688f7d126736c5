"""A release of five items, without media and encoders: every page still says what there is."""

from collections.abc import Iterator
from urllib.parse import unquote_plus

import pytest

from tests.integration.explorer.test_ask import cards
from tests.support.explorer.site import Site, exploring
from tests.support.tiny_release import write_release
from tests.support.transformer_server import serving_published
from winnow.encoders.inputs import EncoderInputs
from winnow.store.publish import publish


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Site]:
    """The explorer of release 6302; the ids of its items are Greek."""
    home = tmp_path_factory.mktemp("small")
    inputs = EncoderInputs(audio=None, image=None, text=None)
    release = write_release(home / "releases", 6302, items=5, item="είδος/", inputs=inputs)
    publish(release.folder, redis_url, show_progress=False)
    with (
        serving_published(release, redis_url, home / "server.log") as server,
        exploring(home, server, redis_url, home / "explorer.log") as site,
    ):
        yield site


@pytest.mark.parametrize("path", ["/", "/people", "/person?user=user-1", "/ask", "/ask?user=user-1", "/ask?user=new"])
def test_every_page_is_answered(small: Site, path: str) -> None:
    assert "<h1>" in small.text(path)


def test_an_answer_shorter_than_asked_for_is_shown(small: Site) -> None:
    text = small.text("/ask", user="nobody", k="500")
    # Items that other tests added are in every release's catalog, too.
    own = [item for item in map(unquote_plus, cards(text)) if item.startswith("είδος/")]
    assert 0 < len(own) <= 5
    assert f"The answer: {len(cards(text))} items" in text


def test_what_the_release_cannot_do_is_not_offered(small: Site) -> None:
    text = small.text("/ask")
    assert 'name="text"' not in text
    assert 'name="file"' not in text
