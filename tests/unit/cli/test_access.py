"""``winnow access new``, and the checks of ``winnow up --access`` before anything starts."""

import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from winnow import protocols
from winnow.cli.access.keys import commands
from winnow.cli.access.startup import check
from winnow.errors import WinnowError
from winnow.settings.access import digest_of, hash_of, new_key, read


def test_a_new_key_is_printed_once_and_its_entry_is_the_files(tmp_path: Path) -> None:
    options = ["--scopes", "recommend, events", "--expires", "2027-01-01", "--rate", "100/s", "--burst", "200"]
    result = CliRunner().invoke(commands, ["new", "shop", *options])
    assert result.exit_code == 0, result.output
    key, text = result.stdout.split("\n\n", 1)[0], result.stdout.rpartition("of the file:\n\n")[2]
    assert re.fullmatch(r"winnow_[A-Za-z0-9_-]{43}", key)
    assert result.output.count(key) == 1
    file = tmp_path / "access.yaml"
    file.write_text(f"keys:\n{text}")
    [entry] = read(file).keys
    assert entry.digest == digest_of(key.encode())
    assert (entry.name, entry.scopes, entry.limit) == ("shop", ("recommend", "events"), (100, 200))
    assert yaml.safe_load(text)[0]["expires"] == "2027-01-01"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--scopes", "everything"], "keys[0].scopes[0]: must be 'recommend', 'events', 'catalog' or 'admin'"),
        (["--scopes", "events", "--expires", "soon"], "keys[0].expires: must be a date as 2027-01-31"),
        (["--scopes", "events", "--rate", "100"], "keys[0].rate:"),
        (["--scopes", "events", "--burst", "5"], "burst: belongs to a rate, such as rate: 100/s"),
    ],
)
def test_a_wrong_option_is_refused_and_makes_no_key(options: list[str], message: str) -> None:
    result = CliRunner().invoke(commands, ["new", "shop", *options])
    assert isinstance(result.exception, WinnowError)
    assert message in str(result.exception)
    assert result.stdout == ""


@pytest.fixture
def file(tmp_path: Path):
    """Write an access file of one key."""

    def write(key: str, **more: object) -> Path:
        entry = {"name": "shop", "hash": hash_of(key), "scopes": ["recommend"]} | more
        path = tmp_path / "access.yaml"
        path.write_text(yaml.safe_dump({"keys": [entry]}))
        return path

    return write


def test_a_stack_needs_a_key_for_its_own_requests(file, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    key = new_key()
    monkeypatch.delenv(protocols.KEY, raising=False)
    with pytest.raises(WinnowError, match="recommendations need a key, and the stack asks for one"):
        check(file(key))
    monkeypatch.setenv(protocols.KEY, key)
    check(file(key))
    for given, more in ((new_key(), {}), (key, {"scopes": ["admin"]}), (key, {"expires": "2020-01-01"})):
        with pytest.raises(WinnowError, match="must be one of the file, with the scope recommend"):
            check(file(given, **more))
    monkeypatch.delenv(protocols.KEY)
    path = tmp_path / "open.yaml"
    path.write_text("open: [recommend]")
    check(path)


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(protocols.KEY, raising=False)
    assert protocols.credentials() == {}
    monkeypatch.setenv(protocols.KEY, " abc\n")
    assert protocols.credentials() == {"authorization": "Bearer abc"}
    for wrong in ("a\nb", "schlüssel"):
        monkeypatch.setenv(protocols.KEY, wrong)
        with pytest.raises(WinnowError, match="WINNOW_API_KEY: must be a key") as raised:
            protocols.credentials()
        assert wrong not in str(raised.value)
