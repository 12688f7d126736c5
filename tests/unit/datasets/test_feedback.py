"""Feedback columns of an atomic log are interpreted by a rule that is printed, or refused."""

from pathlib import Path

import pytest

from winnow.datasets.canonical.dataset import Dataset
from winnow.datasets.ingest import ingest
from winnow.errors import DataError


def read(folder: Path, header: str, *rows: str) -> Dataset:
    source = folder / "films"
    source.mkdir(exist_ok=True)
    lines = ["\t".join(["user_id:token", "item_id:token", *header.split(), "timestamp:float"])]
    lines += [
        "\t".join(["u", f"i{row}", *values.split(" "), f"{1_700_000_000 + row}"]) for row, values in enumerate(rows)
    ]
    (source / "films.inter").write_text("\n".join(lines) + "\n")
    return ingest(str(source), folder / "out")


@pytest.mark.parametrize("name", ["label", "click", "is_click", "like", "weight", "play_count", "Label"])
def test_zero_is_not_a_positive_event(tmp_path: Path, name: str) -> None:
    data = read(tmp_path, f"{name}:float", "1", "0", "3", "-1")
    assert data.events["item_id"].to_pylist() == ["i0", "i2"]
    assert data.spec.values == {"interaction": 1.0}
    assert data.account.lines() == [
        f"films.inter: {name} above zero is read as an event of the type interaction; 2 of 4 rows are zero or below "
        "and no events"
    ]


@pytest.mark.parametrize("name", ["rating", "stars", "star"])
def test_zero_is_not_a_step_of_a_scale(tmp_path: Path, name: str) -> None:
    data = read(tmp_path, f"{name}:float", "0", "0.5", "3", "5", "-2")
    assert data.events["event"].to_pylist() == ["rated_1", "rated_3", "rated_5"]
    assert data.spec.conversions == ("rated_4", "rated_5")
    assert data.account.notes[0] == (
        f"films.inter: {name} is read as rated_1 … rated_5, of value -1.5 … 2.5: up to rated_2 dislikes, from rated_4 "
        "conversions; 2 of 5 rows are zero or below and no events"
    )


@pytest.mark.parametrize(
    ("steps", "values", "conversions"),
    [
        (1, [0.5], 1),
        (2, [0.5, 1.5], 1),
        (3, [-0.5, 0.5, 1.5], 2),
        (4, [-0.5, 0.5, 1.5, 2.5], 2),
        (5, [-1.5, -0.5, 0.5, 1.5, 2.5], 2),
        (10, [n - 4.5 for n in range(1, 11)], 4),
    ],
)
def test_a_scale_has_two_sides(tmp_path: Path, steps: int, values: list[float], conversions: int) -> None:
    spec = read(tmp_path, "rating:float", "1", f"{steps}").spec
    assert spec.values == {f"rated_{step}": value for step, value in enumerate(values, start=1)}
    assert spec.conversions == tuple(spec.events)[-conversions:]
    assert {kind.window_days for kind in spec.events.values()} == {1.0}


def test_without_feedback_every_row_is_an_event(tmp_path: Path) -> None:
    data = read(tmp_path, "review:token_seq", "fine", "poor")
    assert data.events["event"].to_pylist() == ["interaction", "interaction"]
    assert data.account.lines() == [
        "films.inter: there is no feedback column, so every row is an event of the type interaction",
        "films.inter: not read: review",
    ]


@pytest.mark.parametrize(
    ("header", "rows", "said"),
    [
        (
            "watch_ratio:float",
            ["0.1"],
            r"column watch_ratio: unknown column of numbers or flags: name it rating",
        ),
        ("is_bought:token", ["1", "0"], r"column is_bought: unknown column of numbers or flags"),
        ("label:float rating:float", ["1 5"], r"label and rating are all feedback columns; keep the one to learn from"),
        ("label:float", ["0", "0"], r"column label: no row is above zero, so there is no positive event"),
        ("label:float", ["yes"], r"column label: expected a finite number \(1 row\), for example 'yes'"),
        ("rating:float", ["101"], r"101 steps are too many for a rating scale \(at most 100\)"),
    ],
)
def test_ambiguous_feedback_is_refused(tmp_path: Path, header: str, rows: list[str], said: str) -> None:
    with pytest.raises(DataError, match=said) as refused:
        read(tmp_path, header, *rows)
    assert refused.value.exit_code == 2


def test_other_numeric_columns_beside_a_rating_are_reported(tmp_path: Path) -> None:
    assert read(tmp_path, "stars:float useful:float", "5 2").account.lines()[-1] == "films.inter: not read: useful"


def test_a_row_without_feedback_is_a_bad_row(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"column event: no value; fill it in or remove the row \(1 row\)"):
        read(tmp_path, "label:float", "1", "")


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    for ending, text in {
        "inter": "item_id:token\tuser_id:token\ttimestamp:float\ni\tu\t1700000000\n",
        "item": "item_id:token\ttitle:token_seq\ni\tLamp\n",
        "user": "user_id:token\tage:token\nu\t30\n",
    }.items():
        (tmp_path / f"films.{ending}").write_bytes(b"\xef\xbb\xbf" + text.encode())
    data = ingest(str(tmp_path), tmp_path / "out")
    assert (data.events["user_id"].to_pylist(), data.events["item_id"].to_pylist()) == (["u"], ["i"])
    assert data.items["title"].to_pylist() == ["Lamp"]
    assert data.users["age"].to_pylist() == [30.0]


def test_ignored_columns_are_reported(tmp_path: Path) -> None:
    (tmp_path / "s.inter").write_text("session:token\titem_id:token\ttimestamp:float\ns\ti\t1700000000\n")
    data = ingest(str(tmp_path), tmp_path / "out")
    assert data.users["user_id"].to_pylist() == ["s"]
    assert data.account.notes[0] == "s.inter: users are in the column session, items in item_id"


def test_milliseconds_stay_milliseconds(tmp_path: Path) -> None:
    (tmp_path / "s.inter").write_text("user_id:token\titem_id:token\ttimestamp:float\nu\ti\t1700000000123\n")
    data = ingest(str(tmp_path), tmp_path / "out")
    assert data.events["timestamp"].to_pylist() == [1_700_000_000_123]
    assert data.account.notes[0] == "s.inter: timestamp is too large for seconds, so it is read as milliseconds"
