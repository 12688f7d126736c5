"""Flags of the transformer that are out of bounds are refused by name."""

import pytest

from recommender_transformer.__main__ import REUSE_S, _arguments

GIVEN = ["recommender_transformer", "--release-dir=r", "--predictor_host=localhost:1"]


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--reuse-seconds=60.5", "--reuse-seconds: must be between 0 and 60, got 60.5"),
        ("--reuse-seconds=nan", "--reuse-seconds: must be between 0 and 60, got nan"),
        ("--drain-seconds=-1", "--drain-seconds: must be between 0 and"),
    ],
)
def test_seconds_out_of_bounds_are_refused(
    flag: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", [*GIVEN, flag])
    with pytest.raises(SystemExit):
        _arguments()
    assert message in capsys.readouterr().err


def test_answers_are_reused_unless_it_is_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", GIVEN)
    assert _arguments().reuse_seconds == REUSE_S > 0
    monkeypatch.setattr("sys.argv", [*GIVEN, "--reuse-seconds=0"])
    assert _arguments().reuse_seconds == 0
