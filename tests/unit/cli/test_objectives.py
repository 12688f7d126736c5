"""Weights on the command line, and the digits of a recommendation's probabilities."""

import re

import pytest

from winnow.cli import show
from winnow.cli.live.objectives import parsed
from winnow.errors import WinnowError


def test_weights_are_parsed_and_the_last_of_a_type_counts() -> None:
    assert parsed(["buy=2", "a=b=-0.5", "buy=1e2"]) == {"buy": 100.0, "a=b": -0.5}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("buy", "'buy' is not of the form TYPE=WEIGHT, such as purchase=20"),
        ("=1", "'=1' is not of the form TYPE=WEIGHT"),
        ("buy=much", "'buy=much' is not of the form TYPE=WEIGHT"),
        ("buy=1001", "'buy=1001': the weight must be a number between -1000 and 1000"),
        ("buy=nan", "'buy=nan': the weight must be a number between -1000 and 1000"),
        ("share=1", "'share' is not an event type of the release; its types are view, buy"),
    ],
)
def test_a_wrong_weight_is_refused_with_its_text(text: str, message: str) -> None:
    with pytest.raises(WinnowError, match=re.escape(message)):
        parsed([text], ("view", "buy"))


@pytest.mark.parametrize(
    ("chance", "printed"),
    [(None, ""), (0.0, "0.0%"), (0.5, "50.0%"), (0.031, "3.1%"), (0.004, "0.40%"), (0.000123, "0.012%")],
)
def test_a_small_probability_is_not_printed_as_zero(chance: float | None, printed: str) -> None:
    assert show.percent(chance) == printed
