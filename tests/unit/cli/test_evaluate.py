"""`winnow evaluate` refuses mistakes before it builds, and names what it counted."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.tiny_release import write_release
from winnow.cli.evaluate import evaluate
from winnow.errors import WinnowError
from winnow.evaluation.measure import Measured
from winnow.evaluation.record import Estimate, EvaluationRecord, Group, read
from winnow.release import Release

NAMES = ("ndcg@10", "recall@10", "recall@50", "coverage@10", "value_ndcg@10", "mean_value@10")


def some(value: float, users: int) -> Group:
    """The funnel has ``value``, give or take 0.01, in every metric; the baseline has half of it."""
    of_funnel = {name: Estimate(value=value, low=value - 0.01, high=value + 0.01) for name in NAMES}
    of_other = {name: Estimate(value=value / 2, low=value / 2, high=value / 2) for name in NAMES}
    return Group(
        users=users, metrics={"funnel": of_funnel, "most_taken": of_other}, differences={"most_taken": of_other}
    )


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
    write_release(tmp_path / "releases", 1, holdout="last")
    found = EvaluationRecord(
        release=1,
        live=None,
        uncompared="no release is live",
        objective="conversion",
        types=["buy", "rent"],
        split="each user's last",
        items=3,
        overall=some(0.5, 12),
        beside_live=None,
        segments={"country": {"[fi]": some(0.25, 1)}},
        losses=[],
        calibration={},
    )
    monkeypatch.setattr(
        "winnow.evaluation.measure.measure", lambda *_, **__: Measured(found, pa.table({"user_id": ["u"]}))
    )
    evaluate("conversion", "country")
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert printed[0] == "each user's last"
    assert "objective conversion (buy, rent): 12 users" in printed
    assert "country [fi]: 1 user" in printed
    # Every column's name is whole, and the rows are those of the whole and of the segment.
    assert [line.split() for line in printed if line.split()[:1] == ["ndcg@10"]] == [list(NAMES)] * 2
    assert [line.split()[:2] for line in printed if line.startswith("most_taken")] == [
        ["most_taken", "0.2500"],
        ["most_taken", "0.1250"],
    ]
    assert "funnel - most_taken: ndcg@10 +0.2500 (+0.2500 to +0.2500)" in printed
    assert "not compared with a live release: no release is live" in printed
    # Only the evaluation of all outcomes is the release's.
    assert read(str(tmp_path), 1) is None
    monkeypatch.setattr("winnow.evaluation.held_out.ANY", "conversion")
    evaluate("conversion", as_json=True)
    printed = json.loads(capsys.readouterr().out)
    assert printed["metrics"]["funnel"]["ndcg@10"] == 0.5
    assert printed["intervals"]["funnel"]["ndcg@10"] == [0.49, 0.51]
    assert read(str(tmp_path), 1) == found
    assert pq.read_table(tmp_path / "evaluations" / "1" / "users.parquet").to_pylist() == [{"user_id": "u"}]


def test_a_release_that_is_named_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WINNOW_HOME", str(tmp_path))
    for number in (1, 2):
        write_release(tmp_path / "releases", number, holdout="last")
    measured: list[int] = []

    def measure(release: Release, *_: object, **__: object) -> Measured:
        measured.append(release.manifest.number)
        raise WinnowError("measured")

    monkeypatch.setattr("winnow.evaluation.measure.measure", measure)
    for number in (1, None):
        with pytest.raises(WinnowError, match="measured"):
            evaluate(number=number)
    assert measured == [1, 2]
