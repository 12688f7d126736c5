"""Tokens of an identity provider: accepted with its signature only, and for what they say."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives import serialization

from tests.support.access.calls import AUDIENCE, ISSUER, Issuer, bearer, over_grpc, over_http, write
from tests.support.transformer_server import Server, serving


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, redis_url: str, issuer: Issuer) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("tokens")
    issuer.write(folder / "jwks.json")
    jwt = {"issuer": ISSUER, "audience": AUDIENCE, "jwks": "jwks.json", "algorithms": ["RS256"], "leeway_s": 30.0}
    access = write(folder / "access.yaml", jwt=jwt)
    with serving(folder, 6004, redis_url, access=str(access)) as server:
        yield server


def encoded(value: Any) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def claims(**more: Any) -> dict[str, Any]:
    now = int(time.time())
    return {"iss": ISSUER, "aud": AUDIENCE, "sub": "x", "exp": now + 60, "scope": "recommend catalog"} | more


def unsigned(**more: Any) -> str:
    return f"{encoded({'alg': 'none', 'typ': 'JWT'})}.{encoded(claims(**more))}."


def signed_with_the_public_key(issuer: Issuer) -> str:
    """The classic confusion: HMAC with the public key, which everyone has, as the secret."""
    form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    secret = issuer.key.public_key().public_bytes(*form)
    body = f"{encoded({'alg': 'HS256', 'kid': issuer.kid})}.{encoded(claims())}"
    return f"{body}.{encoded(hmac.new(secret, body.encode(), hashlib.sha256).digest())}"


def altered(token: str) -> str:
    """The token with more scopes, and the signature of the other."""
    head, _, signature = token.split(".")
    return f"{head}.{encoded(claims(scope='admin recommend'))}.{signature}"


def refused(issuer: Issuer) -> dict[str, str]:
    now = int(time.time())
    other = Issuer()
    return {
        "expired": issuer.token(exp=now - 120),
        "not valid yet": issuer.token(nbf=now + 120),
        "issued in the future": issuer.token(iat=now + 120),
        "without an expiry": issuer.token(exp=None),
        "without a subject": issuer.token(sub=None),
        "with a subject that is no text": issuer.token(sub=""),
        "with a long subject": issuer.token(sub="s" * 300),
        "of another issuer": issuer.token(iss="https://other.example.com"),
        "for another audience": issuer.token(aud="another"),
        "for no audience": issuer.token(aud=None),
        "signed by another key of the same name": other.token(),
        "of a key that is not in the file": Issuer("two").token(),
        "with its own key": other.token({"jwk": json.loads('{"kty": "oct", "k": "AA"}')}),
        "with the address of a key set": other.token({"jku": "http://127.0.0.1:1/keys", "x5u": "http://127.0.0.1:1/x"}),
        "unsigned": unsigned(),
        "signed with the public key": signed_with_the_public_key(issuer),
        "altered": altered(issuer.token()),
        "with an infinite expiry": f"{encoded({'alg': 'RS256', 'kid': 'one'})}.{encoded(b'{}')}.AAAA",
        "of deep JSON": f"{encoded(b'[' * 5000)}.{encoded(claims())}.AAAA",
        "with a header that is no object": f"{encoded(['RS256'])}.{encoded(claims())}.AAAA",
        "with a kid that is no text": f"{encoded({'alg': 'RS256', 'kid': {'a': 1}})}.{encoded(claims())}.AAAA",
        "with unknown critical headers": issuer.token({"crit": ["exp2"], "exp2": 1}),
    }


def test_a_valid_token_is_admitted_for_its_scopes(guarded: Server, issuer: Issuer) -> None:
    for given in (
        {"scope": "openid recommend events"},
        {"scope": None, "scp": ["recommend", "events", "other"]},
        {"scope": None, "scp": "recommend events"},
        {"aud": ["another", AUDIENCE]},
        {"exp": int(time.time()) - 1},  # within the leeway
    ):
        for _ in range(2):  # decoded, and from those held
            headers = bearer(issuer.token(**given))
            statuses = over_http(guarded, "recommender", headers)
            assert statuses["v1"] == statuses["v2"] == 200, given
            assert over_grpc(guarded, "recommender", headers) is grpc.StatusCode.OK
        assert over_http(guarded, "events", headers) == dict.fromkeys(statuses, 200)
    assert guarded.metric('winnow_access_total{caller="(jwt)",outcome="granted"}') > 20


def test_a_token_without_the_scope_is_forbidden(guarded: Server, issuer: Issuer) -> None:
    for given in ({"scope": "recommend"}, {"scope": None}, {"scope": 7}, {"scope": ["recommend"], "scp": ["catalog"]}):
        headers = bearer(issuer.token(**given))
        statuses = over_http(guarded, "items", headers)
        assert statuses == dict.fromkeys(statuses, 403), given
        assert over_grpc(guarded, "items", headers) is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize("name", refused(Issuer()))
def test_other_tokens_are_unauthenticated(guarded: Server, issuer: Issuer, name: str) -> None:
    headers = bearer(refused(issuer)[name])
    statuses = over_http(guarded, "recommender", headers)
    assert statuses == dict.fromkeys(statuses, 401)
    assert over_grpc(guarded, "recommender", headers) is grpc.StatusCode.UNAUTHENTICATED


def test_a_held_token_ends_with_its_expiry(guarded: Server, issuer: Issuer) -> None:
    until = int(time.time()) - 15  # 15 seconds are left of the leeway
    headers = bearer(issuer.token(exp=until))
    assert over_http(guarded, "recommender", headers)["v1"] == 200
    time.sleep(max(0.0, until + 30.1 - time.time()))
    status, body = guarded.post("/v1/models/recommender:predict", b"{}", headers)
    assert (status, body["error"]) == (401, "access: this token has expired: get a new one from its issuer")


def test_the_log_has_no_token(redis_url: str, tmp_path: Path) -> None:
    issuer = Issuer()
    issuer.write(tmp_path / "jwks.json")
    jwt = {"issuer": ISSUER, "audience": AUDIENCE, "jwks": "jwks.json"}
    access = write(tmp_path / "access.yaml", jwt=jwt | {"algorithms": ["RS256"]})
    tokens = [issuer.token(), *refused(issuer).values()]
    with serving(tmp_path, 6005, redis_url, access=str(access)) as server:
        for token in tokens:
            over_grpc(server, "items", bearer(token))
            server.post("/v1/models/items:predict", b"{", bearer(token))
    log = (tmp_path / "server.log").read_text()
    assert not [token for token in tokens if token in log or token.split(".")[1] in log]
