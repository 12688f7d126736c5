"""Hypothesis strategies of the instances of calls: mostly of an allowed form, otherwise anything of the schema."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis_jsonschema import from_schema

MODELS = ("recommender", "events", "items", "users")

_LIKELY = {"k", "debug", "deadline_ms", "reasons", "amount", "title", "description", "price", "available", "nearest"}
"""Fields that go with every form of a model that has them."""


@dataclass(frozen=True)
class Vocabulary:
    """Ids and schemas of the served release, from which valid requests are made.

    Attributes:
        schemas: JSON schema of one instance, by model.
        users: some user ids.
        items: some item ids.
        events: the declared event types.
        keys: keys of a server with access control; requests have one of them, another or none.
    """

    schemas: Mapping[str, dict[str, Any]]
    users: list[str]
    items: list[str]
    events: list[str]
    keys: tuple[str, ...] = ()


TEXT = st.text(max_size=20)
_ID = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=20)
_MOMENT = st.integers(10**11, 1_700_000_000_000)
ODD = st.sampled_from(["\ud800", "me\udfff"]) | TEXT
"""A lone surrogate now and then, which JSON can encode."""

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ODD,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ODD, inner, max_size=4),
    max_leaves=8,
)


def instance_of(vocabulary: Vocabulary, model: str) -> st.SearchStrategy[Any]:
    """An instance of the schema; mostly with the release's ids and event types, in a form that is allowed."""
    # A new item has an id of its own.
    names = {} if model == "items" else {"item_id": vocabulary.items}
    names |= {"user_id": vocabulary.users, "event": vocabulary.events}
    drawn: dict[str, st.SearchStrategy[Any]] = {name: st.sampled_from(values) for name, values in names.items()}
    drawn = {"item_id": _ID, "event_id": st.none() | _ID, "timestamp": _MOMENT, "created_at": _MOMENT} | drawn
    properties = vocabulary.schemas[model]["properties"]
    fields = st.fixed_dictionaries({name: drawn[name] for name in drawn if name in properties})
    return st.builds(
        lambda free, valid, form, use: {n: v for n, v in free.items() if n in _LIKELY} | valid | form if use else free,
        _of(vocabulary.schemas[model], vocabulary.schemas[model]),
        fields,
        _form(vocabulary, model),
        # Hypothesis prefers the first.
        st.sampled_from([True] * 9 + [False]),
    )


def _form(vocabulary: Vocabulary, model: str) -> st.SearchStrategy[dict[str, Any]]:
    """Fields that go together, beside the ids."""
    item, events = st.sampled_from(vocabulary.items), st.sampled_from(vocabulary.events)
    if model == "users":
        action = st.sampled_from(["read", "events", "upsert", "upsert"])
        return st.fixed_dictionaries({"action": action})
    if model == "items":
        return st.just({}) | st.fixed_dictionaries({"item_id": item, "action": st.sampled_from(["read", "enable"])})
    if model != "recommender":
        return st.just({})
    items = st.lists(item, min_size=1, max_size=4, unique=True)
    lists = st.sampled_from(["popular", "trending", "new", "last_seen"])
    plain: list[dict[str, st.SearchStrategy[Any]]] = [
        {"query": st.fixed_dictionaries({"text": st.text("ab ", min_size=1)})},
        {"objectives": st.none() | st.dictionaries(events, st.floats(-1000, 1000))},
        {"repeats": st.sampled_from([None, "hide", "allow", "demote"])},
        {"filters": st.fixed_dictionaries({"exclude_items": items})},
        {
            "filters": st.fixed_dictionaries(
                {"where": st.sampled_from(["price < 20", "title is null", "not available"])}
            )
        },
        {"boosts": st.just([{"where": "price > 3", "factor": 2}]), "caps": st.just({"category": 2})},
        {"pins": item.map(lambda given: [{"item_id": given, "position": 0}])},
        {"items": items.map(lambda given: [{"item_id": one} for one in given])},
        {"like": item},
        {"like": item, "relation": st.sampled_from(["similar", "complementary"])},
        {"rank": items},
        {"list": lists},
    ]
    return st.just({}) | st.one_of([st.fixed_dictionaries(fields) for fields in plain])


def _of(schema: dict[str, Any], root: dict[str, Any]) -> st.SearchStrategy[Any]:
    """An instance of a schema. hypothesis-jsonschema 0.23 cannot generate objects with current Hypothesis."""
    if "$ref" in schema:
        return _of(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if "anyOf" in schema:
        return st.one_of([_of(choice, root) for choice in schema["anyOf"]])
    if "properties" in schema:
        fields = {name: _of(inner, root) for name, inner in schema["properties"].items()}
        required = {name: fields.pop(name) for name in schema.get("required", ())}
        return st.fixed_dictionaries(required, optional=fields)
    if schema.get("type") == "object":
        return st.dictionaries(TEXT, JSON, max_size=3)
    if schema.get("type") == "array":
        return st.lists(_of(schema["items"], root), max_size=4)
    return from_schema({name: value for name, value in schema.items() if name != "default"})
