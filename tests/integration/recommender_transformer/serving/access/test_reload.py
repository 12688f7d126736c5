"""The access file is read again when it changes; an invalid one leaves the one before in force."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.access.calls import AUDIENCE, ISSUER, Issuer, bearer, entry, over_http, write
from tests.support.transformer_server import Server
from tests.support.until import until
from winnow.settings.access import new_key

VALID = "winnow_access_file_valid"


def admits(server: Server, key: str | None, model: str = "recommender") -> bool:
    return over_http(server, model, bearer(key))["v1"] == 200


def test_a_new_file_is_in_force_and_an_invalid_one_is_not(
    serve_tiny: Callable[..., Any], redis_url: str, tmp_path: Path
) -> None:
    old, new = new_key(), new_key()
    file = write(tmp_path / "access.yaml", keys=[entry("old", old)])
    with serve_tiny(redis_url, access=str(file)) as server:
        assert admits(server, old)
        assert not admits(server, new)
        write(file, keys=[entry("new", new)])
        until(lambda: admits(server, new), 20)
        assert not admits(server, old)
        assert server.metric(VALID) == 1
        for broken in (b"keys: [", b"", b"\xff", b"keys: [{name: new}]", b"jwt: {issuer: a, audience: b, jwks: none}"):
            file.write_bytes(broken)
            until(lambda: server.metric(VALID) == 0, 20)
            assert admits(server, new)
            # What is invalid is said once, however often it is read.
            until(lambda: (tmp_path / "server.log").read_text().count("is invalid") > 0, 20)
            write(file, keys=[entry("new", new)])
            until(lambda: server.metric(VALID) == 1, 20)
        file.unlink()
        until(lambda: server.metric(VALID) == 0, 20)
        assert admits(server, new)
        write(file, keys=[entry("old", old)], open=["recommend"])
        until(lambda: admits(server, old), 20)
        assert not admits(server, new)
        assert admits(server, None)
        assert not admits(server, None, "items")
    log = (tmp_path / "server.log").read_text()
    assert log.count("is invalid") == 6
    assert new not in log
    assert old not in log


def test_a_mounted_secret_is_swapped_by_its_link(
    serve_tiny: Callable[..., Any], redis_url: str, tmp_path: Path
) -> None:
    """As the kubelet does: a hidden folder per version, and a link to the newest that is replaced by rename."""
    mount, issuers = tmp_path / "mount", [Issuer("one"), Issuer("two")]
    jwt = {"issuer": ISSUER, "audience": AUDIENCE, "jwks": "jwks.json", "algorithms": ["RS256"]}
    for number, issuer in enumerate(issuers):
        version = mount / f"..{number}"
        version.mkdir(parents=True)
        issuer.write(version / "jwks.json")
        write(version / "keys.yaml", jwt=jwt)
        write(version / "policy.yaml", open=["recommend"] if number else ["events"])
    (mount / "..data").symlink_to("..0")
    for name in ("jwks.json", "keys.yaml", "policy.yaml"):
        (mount / name).symlink_to(f"..data/{name}")
    before, after = [issuer.token() for issuer in issuers]
    with serve_tiny(redis_url, access=str(mount)) as server:
        assert admits(server, before)
        assert not admits(server, after)
        assert admits(server, None, "events")
        (mount / "..new").symlink_to("..1")
        (mount / "..new").replace(mount / "..data")
        until(lambda: admits(server, after), 20)
        assert not admits(server, before)
        assert admits(server, None)
        assert not admits(server, None, "events")
