"""The access file: what it accepts, and that its messages quote no key."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from winnow.settings.access import Limit, digest_of, hash_of, new_key, read
from winnow.settings.file import SettingsError

KEY = "winnow_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"


def written(path: Path, **content: Any) -> Path:
    path.write_text(yaml.safe_dump(content))
    return path


def entry(**more: Any) -> dict[str, Any]:
    return {"name": "shop", "hash": hash_of(KEY), "scopes": ["recommend"]} | more


def test_a_key_is_recognised_by_its_digest(tmp_path: Path) -> None:
    [found] = read(written(tmp_path / "a.yaml", keys=[entry(expires="2027-01-01", rate="90/min", burst=7)])).keys
    assert found.digest == digest_of(KEY.encode())
    assert found.expires_at == 1798761600
    assert found.limit == Limit(1.5, 7)
    assert len({new_key() for _ in range(100)}) == 100


@pytest.mark.parametrize(("rate", "limit"), [("100/s", (100, 100)), ("90/min", (1.5, 2)), ("1/min", (1 / 60, 1))])
def test_a_burst_is_by_default_what_a_second_brings(tmp_path: Path, rate: str, limit: tuple[float, int]) -> None:
    [found] = read(written(tmp_path / "a.yaml", keys=[entry(rate=rate)])).keys
    assert found.limit == pytest.approx(limit)
    [unlimited] = read(written(tmp_path / "a.yaml", keys=[entry()])).keys
    assert unlimited.limit is None


def test_yaml_dates_are_dates(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(f"keys: [{{name: shop, hash: '{hash_of(KEY)}', scopes: [events], expires: 2027-01-01}}]")
    assert read(file).keys[0].expires_at == 1798761600


def test_a_folder_is_one_file_in_parts(tmp_path: Path) -> None:
    written(tmp_path / "policy.yaml", open=["recommend", "events"])
    assert read(tmp_path).keys == ()
    written(tmp_path / "keys.yaml", keys=[entry()], open=["events"])
    written(tmp_path / ".hidden.yaml", keys=[entry()])
    folder = tmp_path / "more.yaml.d"
    folder.mkdir()
    found = read(tmp_path)
    assert [key.name for key in found.keys] == ["shop"]
    assert set(found.open) == {"recommend", "events"}


def test_keys_are_named_relative_to_their_file(tmp_path: Path) -> None:
    file = written(tmp_path / "a.yaml", jwt={"issuer": "i", "audience": "a", "jwks": "keys/set.json"})
    found = read(file).jwt
    assert found is not None
    assert found.jwks == str(tmp_path / "keys/set.json")


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a key in place of its hash": (
        {"keys": [entry(hash=KEY)]},
        "keys[0].hash: must be sha256: and 64 hexadecimal digits; the key itself does not belong in the file",
    ),
    "a hash of another length": ({"keys": [entry(hash="sha256:00")]}, "keys[0].hash: must be sha256:"),
    "a number as hash": ({"keys": [entry(hash=5)]}, "keys[0].hash: must be a string"),
    "a list of keys": ({"keys": [KEY]}, "keys[0]: must be a mapping"),
    "one key": ({"keys": KEY}, "keys: must be"),
    "a field that holds a key": ({"keys": [entry(key=KEY)]}, "keys[0].key: unknown"),
    "a key as rate": ({"keys": [entry(rate=KEY)]}, "keys[0].rate:"),
    "a key as scope": ({"keys": [entry(scopes=[KEY])]}, "keys[0].scopes[0]:"),
    "a key as name": ({"keys": [entry(name=f"{KEY} {KEY}")]}, "keys[0].name:"),
    "an unknown scope": ({"keys": [entry(scopes=["all"])]}, "must be 'recommend', 'events', 'catalog' or 'admin'"),
    "no scope": ({"keys": [entry(scopes=[])]}, "keys[0].scopes:"),
    "no date": ({"keys": [entry(expires="soon")]}, "keys[0].expires: must be a date as 2027-01-31"),
    "a rate of none": ({"keys": [entry(rate="0/s")]}, "keys[0].rate:"),
    "a rate per day": ({"keys": [entry(rate="5/day")]}, "keys[0].rate:"),
    "a burst without a rate": ({"keys": [entry(burst=5)]}, "keys[0]: burst: belongs to a rate"),
    "two of a name": ({"keys": [entry(), entry(hash=hash_of("b"))]}, "2 keys have the same name: shop"),
    "two of a hash": ({"keys": [entry(), entry(name="b")]}, "2 keys have the same hash: shop and b"),
    "an open catalog": ({"open": ["catalog"]}, "open[0]:"),
    "a symmetric algorithm": (
        {"jwt": {"issuer": "i", "audience": "a", "jwks": "j", "algorithms": ["HS256"]}},
        "jwt.algorithms[0]:",
    ),
    "a token without audience": ({"jwt": {"issuer": "i", "jwks": "j"}}, "jwt.audience: must be given"),
    "nothing": ({}, "declares none of keys, jwt and open: every call would be refused"),
    "too many keys": (
        {"keys": [entry(name=f"k{number}", hash=hash_of(str(number))) for number in range(257)]},
        "declares 257 keys; the most are 256",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_refused_without_quoting_it(tmp_path: Path, name: str) -> None:
    content, message = WRONG[name]
    with pytest.raises(SettingsError) as raised:
        read(written(tmp_path / "a.yaml", **content))
    assert message in str(raised.value)
    assert KEY[:12] not in str(raised.value)


def test_a_file_that_is_no_yaml_is_not_quoted(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(f"keys:\n- name: shop\n  hash: [{KEY}\n")
    with pytest.raises(SettingsError) as raised:
        read(file)
    assert KEY[:12] not in str(raised.value)
    assert "line" in str(raised.value)
    assert raised.value.__cause__ is None


def test_an_empty_folder_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"has no \*.yaml that declares keys, jwt and open"):
        read(tmp_path)
