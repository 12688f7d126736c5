"""Codes of the categories that a request names."""

import pytest

from recommender_transformer.funnel.matching.categories import CategoryCodes
from winnow.request import InvalidRequest, RecommendRequest

VOCABULARY = ["", "books", "toys"]


def request(categories: list[str] | None) -> RecommendRequest:
    filters = {} if categories is None else {"categories": categories}
    return RecommendRequest.model_validate({"user_id": "user-1", "filters": filters})


def test_a_category_has_the_code_of_its_position() -> None:
    codes = CategoryCodes(VOCABULARY).codes(request(["toys", "books"]), "instances[0]")
    assert codes is not None
    assert codes.tolist() == [2, 1]


def test_without_a_filter_there_are_no_codes() -> None:
    assert CategoryCodes(VOCABULARY).codes(request(None), "instances[0]") is None


def test_an_unknown_category_is_named_by_its_field() -> None:
    message = r"instances\[3\]\.filters\.categories\[1\]: must be a category of the catalog, got 'shoes'"
    with pytest.raises(InvalidRequest, match=message):
        CategoryCodes(VOCABULARY).codes(request(["toys", "shoes"]), "instances[3]")
