"""Pictures and sounds of items: only those of the data set's folder, and only what is one."""

import pytest

from tests.support.explorer.media import GOOD, REFUSED
from tests.support.explorer.site import Site


@pytest.mark.parametrize("item", GOOD)
def test_a_picture_is_shown_with_the_type_of_its_content(site: Site, item: int) -> None:
    response = site.get("/media/image", item=f"item-{item}")
    assert response.status_code == 200
    assert response.headers["content-type"] == GOOD[item]
    assert response.content == (site.home / "shop" / f"{item}.{GOOD[item].partition('/')[2]}").read_bytes()


@pytest.mark.parametrize("item", REFUSED, ids=REFUSED.values())
def test_anything_else_is_not_shown(site: Site, item: int) -> None:
    response = site.get("/media/image", item=f"item-{item}")
    assert response.status_code == 404
    assert response.content == b""


@pytest.mark.parametrize("item", ["item-14", "unknown", "", "../1.png", "\0", "x" * 10_000])
def test_an_item_without_a_picture_has_none(site: Site, item: str) -> None:
    assert site.get("/media/image", item=item).status_code == 404


def test_a_sound_is_played_and_a_picture_is_no_sound(site: Site) -> None:
    response = site.get("/media/sound", item="item-1")
    assert (response.status_code, response.headers["content-type"]) == (200, "audio/wav")
    assert site.get("/media/sound", item="item-2").status_code == 404
    assert site.get("/media/secrets", item="item-1").status_code == 404
