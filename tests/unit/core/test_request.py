import pytest

from winnow.request import MAX_INSTANCES, InvalidRequest, RecommendRequest, parse_all


def test_a_request_has_defaults() -> None:
    (request,) = parse_all(RecommendRequest, [{"user_id": "anna"}])
    assert (request.k, request.debug, request.deadline_ms, request.diversity) == (10, False, None, None)
    assert request.filters.categories is None
    assert (request.objectives, request.repeats) == (None, None)
    assert request.filters.exclude_items == []


@pytest.mark.parametrize(
    ("instance", "message"),
    [
        ({}, "instances[0].user_id: is required, and must be a string of 1 to 256 characters"),
        ({"user_id": ""}, "instances[0].user_id: must be a string of 1 to 256 characters, got ''"),
        ({"user_id": "a", "k": 501}, "instances[0].k: must be a whole number between 1 and 500, got 501"),
        ({"user_id": "a", "k": 0}, "instances[0].k: must be a whole number between 1 and 500, got 0"),
        ({"user_id": "a", "k": "5"}, "instances[0].k: must be a whole number between 1 and 500, got '5'"),
        ({"user_id": "a", "k": True}, "instances[0].k: must be a whole number between 1 and 500, got True"),
        ({"user_id": "a", "k": 2.5}, "instances[0].k: must be a whole number between 1 and 500, got 2.5"),
        ({"user_id": 7}, "instances[0].user_id: must be a string of 1 to 256 characters, got 7"),
        ({"user_id": "\ud800"}, "instances[0].user_id: must be a string of 1 to 256 characters, got '\\ud800'"),
        ({"user_id": "a", "debug": 1}, "instances[0].debug: must be true or false, got 1"),
        ({"user_id": "a", "diversity": 1.5}, "instances[0].diversity: must be a number between 0 and 1, got 1.5"),
        ({"user_id": "a", "repeats": "show"}, "instances[0].repeats: must be hide, allow or demote, got 'show'"),
        (
            {"user_id": "a", "objectives": ["buy"]},
            "instances[0].objectives: must be an object of at most 100 event types",
        ),
        ({"user_id": "a", "objectives": {"buy": True}}, "instances[0].objectives.buy: must be a number between -1000"),
        (
            {"user_id": "a", "objectives": {"buy": -1000.5}},
            "instances[0].objectives.buy: must be a number between -1000",
        ),
        (
            {"user_id": "a", "objectives": {"buy": float("nan")}},
            "instances[0].objectives.buy: must be a number between",
        ),
        (
            {"user_id": "a", "objectives": {"buy": 10**400}},
            "instances[0].objectives.buy: must be a number between -1000",
        ),
        (
            {"user_id": "a", "objectives": dict.fromkeys(map(str, range(101)), 1)},
            "instances[0].objectives: must be an object of at most 100 event types, each with its weight, got",
        ),
        ({"user_id": "a", "deadline_ms": 1}, "instances[0].deadline_ms: must be a whole number between 10 and 10000"),
        ({"user_id": "a", "filters": []}, "instances[0].filters: must be an object, got []"),
        ({"user_id": "a", "filters": {"colour": 1}}, "instances[0].filters.colour: is not a field; the fields are"),
        ({"user_id": "a", "kk": 1}, "instances[0].kk: is not a field; the fields are user_id, query, items, like,"),
        (
            {"user_id": "a", "filters": {"categories": ["x", 3]}},
            "instances[0].filters.categories[1]: must be a string of 1 to 256 characters, got 3",
        ),
        (
            {"user_id": "a", "filters": {"categories": ["x"] * 51}},
            "instances[0].filters.categories: must be a list of at most 50 category names, got a list of 51",
        ),
        ("anna", "instances[0]: must be an object, got 'anna'"),
        (None, "instances[0]: must be an object, got None"),
    ],
)
def test_a_wrong_field_is_named(instance: object, message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_all(RecommendRequest, [instance])
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("instances", ["anna", 5, None, {"user_id": "anna"}, [], [{"user_id": "a"}] * 65])
def test_instances_are_a_bounded_list(instances: object) -> None:
    with pytest.raises(InvalidRequest, match=r"^instances: must be a list"):
        parse_all(RecommendRequest, instances)


def test_the_position_is_named_and_long_values_are_shortened() -> None:
    good = [{"user_id": "a"}] * (MAX_INSTANCES - 1)
    with pytest.raises(InvalidRequest, match=r"instances\[63\]\.user_id: .* got 'xxx") as caught:
        parse_all(RecommendRequest, [*good, {"user_id": "x" * 100_000}])
    assert len(str(caught.value)) < 250


def test_many_mistakes_are_counted() -> None:
    with pytest.raises(InvalidRequest, match="and 2 more"):
        parse_all(RecommendRequest, [{"a": 1, "b": 2, "c": 3, "d": 4, "user_id": 5}])
