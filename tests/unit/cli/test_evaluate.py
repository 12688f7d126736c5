"""`winnow evaluate` refuses mistakes before it builds, and names what it counted."""

from pathlib import Path

import pytest

from tests.support.tiny_release import write_release
from winnow.cli.evaluate import evaluate
from winnow.errors import WinnowError
from winnow.evaluation import report
from winnow.evaluation.report import Evaluation, Metrics, Segment

NAMES = ("ndcg@10", "recall@10", "recall@50", "coverage@10", "value_ndcg@10", "mean_value@10")


def metrics(value: float) -> Metrics:
    return {"funnel": dict.fromkeys(NAMES, value), "most_taken": dict.fromkeys(NAMES, value / 2)}


@pytest.mark.parametrize(
    ("objective", "by", "said"), [("purchase", None, "--objective: 'purchase'"), ("any", "age", "--by: 'age'")]
)
def test_a_mistake_is_refused_before_a_build(
    objective: str, by: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WINNOW_HOME", str(tmp_path))
    write_release(tmp_path / "releases", 1)
    with pytest.raises(WinnowError, match=said):
        evaluate(objective, by)


def test_the_table_names_the_objective_and_its_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WINNOW_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    release = write_release(tmp_path / "releases", 1)
    monkeypatch.setattr("winnow.cli.evaluate.release.latest", lambda *_: release)
    found = Evaluation(
        objective="conversion",
        types=["buy", "rent"],
        split="each user's last",
        release=1,
        users=12,
        metrics=metrics(0.5),
        segments={"[fi]": Segment(users=1, metrics=metrics(0.25))},
    )
    monkeypatch.setattr(report, "evaluate", lambda *_, **__: found)
    evaluate("conversion", "country")
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert printed[0] == "each user's last"
    assert "objective conversion (buy, rent): 12 users" in printed
    assert "country [fi]: 1 user" in printed
    # Every column's name is whole, and the rows are those of the whole and of the segment.
    assert [line.split() for line in printed if "@" in line] == [list(NAMES)] * 2
    assert [line.split()[:2] for line in printed if "most_taken" in line] == [
        ["most_taken", "0.2500"],
        ["most_taken", "0.1250"],
    ]
