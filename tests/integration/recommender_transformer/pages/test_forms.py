"""Every form of a request has further pages."""

from typing import Any

import pytest

from tests.support.transformer_fixtures import AskInTurn

FORMS: dict[str, dict[str, Any]] = {
    "session": {"items": [{"item_id": "item-7", "event": "buy"}, {"item_id": "item-8"}]},
    "like": {"like": "item-7"},
    "like to taste": {"like": "item-7", "user_id": "user-1"},
    "complements": {"like": "item-7", "relation": "complementary"},
    "rank": {"rank": [f"item-{n}" for n in range(1, 60)]},
    "popular": {"list": "popular"},
    "trending": {"list": "trending", "filters": {"categories": ["toys"]}},
    "new": {"list": "new"},
    "last_seen": {"list": "last_seen", "user_id": "user-1"},
    "text": {"query": {"text": "a red ball"}},
}


@pytest.mark.parametrize("form", FORMS)
def test_pages_of_a_form_are_its_longer_list_in_parts(ask_in_turn: AskInTurn, form: str) -> None:
    def following(answers: Any) -> dict[str, str]:
        return {"recommendation_id": answers[-1]["recommendation_id"]}

    whole, *pages = ask_in_turn(FORMS[form] | {"k": 12}, FORMS[form] | {"k": 4}, following, following)
    shown = [item["item_id"] for page in pages for item in page["items"]]
    assert len(shown) == len(set(shown)) == len(whole["items"])
    assert [item["position"] for page in pages for item in page["items"]] == list(range(len(shown)))
    if form in {"popular", "trending", "new", "last_seen"}:
        assert shown == [item["item_id"] for item in whole["items"]]


def test_a_long_list_is_sent_again(ask_in_turn: AskInTurn) -> None:
    ranked = {"rank": [f"item-{n}" for n in range(1, 290)]}
    first, second = ask_in_turn(
        ranked | {"k": 50}, lambda answers: ranked | {"recommendation_id": answers[0]["recommendation_id"]}
    )
    assert len(second["items"]) == 50
    assert not {item["item_id"] for item in first["items"]} & {item["item_id"] for item in second["items"]}
