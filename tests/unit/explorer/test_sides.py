"""What `/compare` reads from its address."""

import pytest

from winnow.errors import WinnowError
from winnow.explorer.compare.sides import given, sides


def test_the_right_side_is_as_the_left_one_but_for_what_it_names() -> None:
    query = {"user": "u1", "k": "5", "where": "price < 3", "diversity2": "0.5", "objectives2": "view=1, buy=-2.5"}
    left, right = sides(given(query | {"unknown": "ignored"}))
    assert (left.user, right.user) == ("u1", "u1")
    assert left.fields == {"k": 5, "filters": {"where": "price < 3"}}
    assert right.fields == left.fields | {"diversity": 0.5, "objectives": {"view": 1.0, "buy": -2.5}}
    assert (left.release, right.release) == (None, None)


def test_users_and_releases_are_sides_of_their_own() -> None:
    left, right = sides(given({"user": " ü<b> ", "user2": "=", "release2": "12"}))
    assert (left.user, right.user) == ("ü<b>", "=")
    assert (left.release, right.release) == (None, 12)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("k", "many", "k: must be a whole number, got 'many'"),
        ("k2", "1.5", "k2: must be a whole number, got '1.5'"),
        ("k", "9" * 5000, "k: must be a whole number"),
        ("diversity", "nan", "diversity: must be a number, got 'nan'"),
        ("diversity2", "1e999", "diversity2: must be a number"),
        ("release", "-1", "release: must be the number of a release, got '-1'"),
        ("release2", "²", "release2: must be the number of a release"),
        ("objectives", "view", "objectives: must be weights such as view=1, buy=4; got 'view'"),
        ("objectives2", "view=much", "objectives2: must be a number, got 'much'"),
    ],
)
def test_what_cannot_be_read_is_named(name: str, value: str, message: str) -> None:
    with pytest.raises(WinnowError, match=f"^{message.replace('(', '.')}"):
        sides(given({"user": "u1", name: value}))
