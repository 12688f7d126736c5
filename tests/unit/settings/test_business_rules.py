"""Wrong rules are refused with the names of their fields, whatever is wrong; right ones survive a round trip."""

import copy
import json
import random
from typing import Any

import pytest

from winnow.settings.business_rules import MAX_FILTERS, MAX_RULES, Rules
from winnow.settings.file import SettingsError, changed, parse

RIGHT: dict[str, Any] = {
    "filters": {"günstig": "price < 3", "b": "x is null"},
    "always": ["b"],
    "boosts": [{"where": "price < 3", "factor": 2.5, "name": "n"}, {"where": "x is null", "factor": 0.01}],
    "pins": [{"item_id": "日", "position": 0}, {"item_id": "b", "position": 499}],
    "caps": {"brand": 1, "tags": 500},
    "fatigue": {"after": 1, "weight": 0.5, "half_life_hours": 0.5},
}
WRONG: dict[str, list[Any]] = {
    "filters": [3, ["a"], {"a": 3}, {"a": ""}, {"a": "x" * 4001}, {"": "x"}, {"a\n": "x"}],
    "always": ["b", [3], [""], {"b": 1}, ["b"] * 21],
    "boosts": [
        {"where": "x", "factor": 2},
        [{"where": "x"}],
        [{"factor": 2}],
        [{"where": "x", "factor": 0}],
        [{"where": "x", "factor": 101}],
        [{"where": "x", "factor": "2"}],
        [{"where": "x", "factor": float("nan")}],
        [{"where": "x", "factor": 2, "weight": 3}],
        [{"where": "x", "factor": True}],
        [{"where": "x", "factor": 2}] * (MAX_RULES + 1),
    ],
    "pins": [
        [{"item_id": "a", "position": -1}],
        [{"item_id": "a", "position": 500}],
        [{"item_id": "a", "position": 1.5}],
        [{"item_id": "", "position": 1}],
        [{"position": 1}],
        [{"item_id": "a", "position": 1}, {"item_id": "b", "position": 1}],
        [{"item_id": "a", "position": 1}, {"item_id": "a", "position": 2}],
    ],
    "caps": [{"brand": 0}, {"brand": 501}, {"brand": 1.5}, {"brand": None}, ["brand"], {str(n): 1 for n in range(11)}],
    "fatigue": [
        {"after": 1, "weight": 0.5},
        {"after": 0, "weight": 0.5, "half_life_hours": 1},
        {"after": 1, "weight": 1, "half_life_hours": 1},
        {"after": 1, "weight": 0.5, "half_life_hours": 0},
        {"after": 1, "weight": 0.5, "half_life_hours": 1, "x": 1},
        [1],
    ],
}


def test_right_rules_survive_a_round_trip() -> None:
    rules = parse(Rules, json.dumps(RIGHT), "rules.yaml")
    assert parse(Rules, changed(rules), "again") == rules
    assert json.loads(changed(rules)) == RIGHT
    assert changed(parse(Rules, "", "rules.yaml")) == ""


@pytest.mark.parametrize("field", WRONG)
def test_every_wrong_value_is_refused_with_the_name_of_its_field(field: str) -> None:
    for value in WRONG[field]:
        with pytest.raises(SettingsError, match=rf"^rules\.yaml: {field}\b"):
            parse(Rules, json.dumps(RIGHT | {field: value}), "rules.yaml")


def refusal(text: str) -> str | None:
    """Why a file is refused; ``None`` where it is right. Any other error fails the test."""
    try:
        parse(Rules, text, "rules.yaml")
    except SettingsError as error:
        return str(error)
    return None


def test_generated_files_are_right_or_refused_in_words() -> None:
    """Right files with up to three parts replaced by anything: no other error, and none without a field."""
    rng = random.Random(18)
    junk = [None, True, -1, 0.0, 1e400, "", "x" * 70_000, [], {}, [[]], {"a": {"b": []}}, "💥", [None], {"": None}]
    refused = 0
    for _ in range(500):
        file: Any = json.loads(json.dumps(RIGHT))
        for _ in range(rng.randint(1, 3)):
            place = file
            while isinstance(place, dict | list) and place:
                key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
                if rng.random() < 0.5 or not isinstance(place[key], dict | list) or not place[key]:
                    place[key] = copy.deepcopy(rng.choice(junk))
                    break
                place = place[key]
        message = refusal(json.dumps(file))
        if message is not None:
            refused += 1
            assert message.startswith("rules.yaml: ")
            assert any(name in message for name in (*RIGHT, "65,536 bytes"))
    assert refused > 300


def test_the_number_of_filters_is_bounded() -> None:
    parse(Rules, json.dumps({"filters": {f"f{n}": "x" for n in range(MAX_FILTERS)}}), "rules.yaml")
    with pytest.raises(SettingsError, match="filters"):
        parse(Rules, json.dumps({"filters": {f"f{n}": "x" for n in range(MAX_FILTERS + 1)}}), "rules.yaml")
