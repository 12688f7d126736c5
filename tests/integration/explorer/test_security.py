"""What every view of the explorer keeps to, and every POST must show."""

import httpx
import pytest
from starlette.routing import Route

from tests.integration.explorer.conftest import Explore
from tests.support.explorer.site import Site, exploring
from tests.support.transformer_server import free_port
from winnow.explorer.base.security import CONTENT_SECURITY_POLICY, MAX_POST_BYTES
from winnow.explorer.base.tokens import COOKIE
from winnow.explorer.routes import ROUTES

READS = [route.path for route in ROUTES if isinstance(route, Route) and "GET" in (route.methods or ())]
WRITES = [
    "/no-such-page",
    *(route.path for route in ROUTES if isinstance(route, Route) and "POST" in (route.methods or ())),
]
STATIC = ["/static/explorer.css", "/static/explorer.js", "/static/vendor/htmx.min.js", "/static/none", "/no-such-page"]


def filled(path: str) -> str:
    """A route's path with something in the place of its parameters."""
    return path.replace("{kind}", "image")


@pytest.mark.parametrize("path", [*READS, *STATIC])
def test_every_response_has_the_headers(site: Site, path: str) -> None:
    response = site.get(filled(path))
    assert response.status_code < 500
    assert response.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "same-origin"
    assert "server" not in response.headers


@pytest.mark.parametrize("path", READS)
def test_no_page_has_inline_script_or_style_or_an_address_elsewhere(site: Site, path: str) -> None:
    text = site.get(filled(path)).text
    assert " style=" not in text
    assert "<style" not in text
    assert "<script>" not in text
    assert " onclick=" not in text
    assert "javascript:" not in text
    assert 'src="http' not in text
    assert 'href="http' not in text


@pytest.mark.parametrize("path", WRITES)
class TestWrites:
    def test_without_a_token_is_refused(self, site: Site, path: str) -> None:
        site.get("/")
        response = site.http.post(filled(path), headers={"origin": site.url}, data={"any": "thing"})
        assert response.status_code == 403
        assert "too old" in response.text

    def test_with_the_token_of_another_visitor_is_refused(self, site: Site, path: str) -> None:
        with httpx.Client(base_url=site.url) as other:
            other.get("/")
            data = {"csrf": "0" * 64}
            response = other.post(filled(path), headers={"origin": site.url}, data=data)
        assert response.status_code == 403

    @pytest.mark.parametrize("origin", ["http://attacker.example", "null", None])
    def test_from_another_origin_is_refused(self, site: Site, path: str, origin: str | None) -> None:
        response = site.http.post(filled(path), headers={} if origin is None else {"origin": origin})
        assert response.status_code == 403
        assert "another site" in response.text

    def test_in_read_only_mode_is_refused(self, explore: Explore, path: str) -> None:
        with explore("--read-only") as reading:
            response = reading.http.post(filled(path), headers={"origin": reading.url})
            assert response.status_code == 403
            assert "read-only" in response.text

    def test_a_body_without_end_is_refused(self, site: Site, path: str) -> None:
        response = site.http.post(filled(path), headers={"origin": site.url}, content=b"x" * (MAX_POST_BYTES + 1))
        assert response.status_code == 413


@pytest.mark.parametrize("host", ["attacker.example", "attacker.example:80", "127.0.0.1.attacker.example", ""])
def test_another_name_of_this_machine_is_refused(site: Site, host: str) -> None:
    response = site.http.get("/", headers={"host": host})
    assert response.status_code == 400
    assert response.headers["content-security-policy"] == CONTENT_SECURITY_POLICY


def test_a_name_that_is_allowed_is_answered(explore: Explore) -> None:
    with explore("--allow-host=shop.example") as running:
        assert running.http.get("/", headers={"host": "shop.example:8090"}).status_code == 200


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(site: Site) -> None:
    with httpx.Client(base_url=site.url) as new:
        [cookie] = new.get("/").headers.get_list("set-cookie")
        assert cookie.startswith(f"{COOKIE}=")
        assert {"HttpOnly", "SameSite=Strict"} <= {part.strip() for part in cookie.split(";")}
        assert "set-cookie" not in new.get("/").headers


def test_without_the_transformer_the_page_says_so(explored_home, redis_url: str, tmp_path) -> None:
    with exploring(explored_home, f"http://127.0.0.1:{free_port()}", redis_url, tmp_path / "log") as alone:
        response = alone.get("/")
        assert response.status_code == 503
        assert "does not answer" in response.text
        assert "winnow up" in response.text
