"""Items that a user has seen are hidden, allowed or put last, by release and by request."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from redis import Redis

from recommender_transformer.backends.predictor.models import Retrieved, Tensors
from recommender_transformer.funnel.filters.unlikely import FEWEST
from tests.support.fake_models import NumpyModels
from tests.support.redis_fixtures import server_and_cluster
from tests.support.sidecar.user_events import event, send_events
from tests.support.tiny_release import ITEMS, UNAVAILABLE
from winnow.bloom.categories import CategoryFilter
from winnow.bloom.hashing import item_hash
from winnow.bloom.seen import SeenFilter
from winnow.ranking.context import CONTEXT_FEATURES
from winnow.release import Release
from winnow.request import Answer
from winnow.schema import NUMERIC_FEATURES
from winnow.store.connection import connect
from winnow.store.shared_state import state_of

redis_url = server_and_cluster

Recommend = Callable[..., Answer]
REGULAR = [3, 3, 3, 7, 7, 9]
"""What the guest took, oldest first."""


@pytest.fixture
def guest(published: Release, redis_url: str) -> str:
    """A user of a few items, whose events no sidecar has applied."""
    send_events(redis_url, *(event("guest", item, "buy", 1_790_000_000_000 + n) for n, item in enumerate(REGULAR)))
    return "guest"


def numbers(answer: Answer) -> list[int]:
    return [int(item["item_id"].removeprefix("item-")) for item in answer["items"]]


def sources(answer: Answer) -> set[str]:
    return {source for item in answer["items"] for source in item["sources"]}


def test_seen_items_are_hidden_unless_the_request_or_the_release_says_otherwise(
    recommend: Recommend, published: Release, guest: str
) -> None:
    hidden = recommend(guest, k=100, debug=True)
    assert not set(numbers(hidden)) & set(REGULAR)
    assert "history" not in hidden["trace"]["sources"]
    allowed = recommend(guest, k=100, repeats="allow", debug=True)
    assert set(REGULAR) <= set(numbers(allowed))
    assert allowed["trace"]["sources"]["history"] == 3
    assert (hidden["trace"]["repeats"], allowed["trace"]["repeats"]) == ("hide", "allow")
    vars(published)["schema"] = published.schema.model_copy(update={"repeats": "allow"})
    assert numbers(recommend(guest, k=100)) == numbers(allowed)
    assert numbers(recommend(guest, k=100, repeats="hide")) == numbers(hidden)


def ranked(models: NumpyModels) -> tuple[list[int], dict[str, Any]]:
    """The candidates that the ranker got last, and their context features by name."""
    tensors = [inputs for name, inputs in models.asked if name == "ranker"][-1]
    context = tensors["candidate_numeric"][0, :, len(NUMERIC_FEATURES) + 2 :]
    columns = {name: context[:, position] for position, name in enumerate(CONTEXT_FEATURES)}
    return tensors["candidate_items"][0].tolist(), columns


def test_the_ranker_reads_what_the_user_repeats_where_it_was_trained_on_repeats(
    recommend: Recommend, published: Release, models: NumpyModels, guest: str
) -> None:
    recommend(guest, k=10, repeats="allow")
    items, columns = ranked(models)
    assert set(REGULAR) <= set(items)
    ours = [name for name in CONTEXT_FEATURES if name.startswith(("history_", "seen", "repeat_"))]
    assert not any(columns[name].any() for name in ours if name != "history_length"), "as in training"
    vars(published)["schema"] = published.schema.model_copy(update={"repeats": "allow"})
    recommend(guest, k=10)
    items, columns = ranked(models)
    counts = {3: 3, 7: 2, 9: 1}
    for position, item in enumerate(items):
        count = counts.get(item, 0)
        assert columns["seen"][position] == columns["history_present"][position] == bool(count)
        assert columns["repeat_count"][position] == pytest.approx(np.log1p(count))
        assert (columns["repeat_age"][position] > 0) == (item in (3, 7)), "9 is the newest event"
    assert columns["history_rank"][items.index(3)] == 0, "what was taken most comes first"


def test_items_that_the_retrievers_graph_hides_are_none_of_its_candidates(
    recommend: Recommend, models: NumpyModels, guest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A graph that hides the history puts it last, with the score -1e9: in the list where the catalog is small."""
    retrieve = NumpyModels.retrieve

    async def hiding(self: NumpyModels, inputs: Tensors) -> Retrieved:
        items, scores, vectors = await retrieve(self, inputs)
        hidden = np.isin(items, REGULAR)
        last = np.array([sorted(set(REGULAR))], np.int32)
        shown, kept = items[~hidden][None], scores[~hidden][None]
        return Retrieved(np.hstack([shown, last]), np.hstack([kept, np.full(last.shape, -1e9, np.float32)]), vectors)

    monkeypatch.setattr(NumpyModels, "retrieve", hiding)
    answer = recommend(guest, k=100, repeats="allow", debug=True)
    assert set(REGULAR) <= set(numbers(answer))
    offered = {c["item_id"]: c["sources"] for c in answer["trace"]["candidates"]}
    assert all("retriever" not in offered[f"item-{n}"] for n in REGULAR)
    [tensors] = [inputs for name, inputs in models.asked if name == "ranker"]
    assert np.abs(tensors["candidate_numeric"]).max() < 1e3


def test_demoted_items_come_after_all_others_at_any_diversity(recommend: Recommend, guest: str) -> None:
    some = [n for n in range(1, ITEMS + 1) if n not in (1, 2, *REGULAR)]
    filters = {"exclude_items": [f"item-{n}" for n in some]}
    assert recommend(guest, k=5, repeats="allow", filters=filters)["items"][0]["item_id"] in ("item-3", "item-7")
    for diversity in (0.0, 0.5, 1.0):
        demoted = recommend(guest, k=100, repeats="demote", diversity=diversity)
        assert len(demoted["items"]) == 100
        last = [number for number in numbers(demoted) if number in REGULAR]
        assert numbers(demoted)[100 - len(last) :] == last
        # With two other items left, the seen ones follow them.
        few = recommend(guest, k=5, repeats="demote", diversity=diversity, filters=filters)
        assert set(numbers(few)[:2]) == {1, 2}
        assert set(numbers(few)[2:]) == set(REGULAR)
    # The trace tells the order of the scores from that of the answer.
    answer = recommend(guest, k=5, repeats="demote", diversity=0.0, filters=filters, debug=True)
    shown = {c["item_id"]: c for c in answer["trace"]["candidates"] if "position" in c}
    assert [shown[item["item_id"]]["position"] for item in answer["items"]] == [0, 1, 2, 3, 4]
    assert any(c["moved"] > 0 for c in shown.values())


def test_without_a_ranker_regular_orders_come_first(recommend: Recommend, published: Release, guest: str) -> None:
    published.manifest = published.manifest.model_copy(update={"unranked": "the log gives only 8 lists"})
    allowed = recommend(guest, k=10, repeats="allow", diversity=0.0)
    assert numbers(allowed)[:3] == [3, 7, 9]
    assert not set(numbers(recommend(guest, k=10, diversity=0.0))) & set(REGULAR)
    demoted = numbers(recommend(guest, k=100, repeats="demote", diversity=0.0))
    assert not set(demoted) & set(REGULAR), "a hundred others come first"


def test_a_disliked_item_is_not_repeated(recommend: Recommend, redis_url: str, guest: str) -> None:
    send_events(redis_url, *(event(guest, 3, "dislike", 1_795_000_000_000 + n) for n in range(3)))
    answer = recommend(guest, k=100, repeats="allow", debug=True)
    assert 3 not in numbers(answer)
    assert {7, 9} <= set(numbers(answer))
    assert answer["trace"]["sources"]["history"] == 2


def test_a_cold_start_user_has_nothing_to_repeat(recommend: Recommend) -> None:
    answers = [recommend("cold-start-user", k=20, repeats=repeats) for repeats in ("hide", "allow", "demote")]
    assert numbers(answers[0]) == numbers(answers[1]) == numbers(answers[2])
    assert all(sources(answer) == {"trending"} for answer in answers)


def test_the_backfill_obeys_the_mode_too(recommend: Recommend, models: NumpyModels, guest: str) -> None:
    models.broken = {"retriever"}
    available = ITEMS - len(UNAVAILABLE)
    kept = [n for n in range(1, 90) if n not in UNAVAILABLE]
    filters = {"exclude_items": [f"item-{n}" for n in range(90, ITEMS + 1)]}
    assert len(kept) < 100 < available
    hidden = recommend(guest, k=100, filters=filters)
    assert set(numbers(hidden)) == set(kept) - set(REGULAR)
    assert set(numbers(recommend(guest, k=100, repeats="allow", filters=filters))) == set(kept)
    assert "popular" in sources(hidden)


def test_a_seen_item_of_an_untouched_category_is_not_unlikely(
    recommend: Recommend, published: Release, redis_url: str
) -> None:
    """The category filter may have been rebuilt with fewer categories than the seen filter has items of."""
    state, client = state_of(published), connect(redis_url)
    books = CategoryFilter()
    books.update([item_hash("books")])
    rows = published.array("item_rows")
    usual = [n for n in range(1, 60) if rows["available"][n] and rows["categorical"][n, 0] != 1][:5]
    seen = [item_hash(f"item-{n}") for n in usual] + [item_hash(f"gone-{n}") for n in range(FEWEST)]
    write(
        client,
        {
            state.categories("user-3"): books.to_bytes(),
            state.seen("user-3"): seen_filter(seen),
        },
    )
    answer = recommend("user-3", k=5, repeats="allow", debug=True)
    found = {c["item_id"]: c for c in answer["trace"]["candidates"]}
    unlikely = [c for c in found.values() if c.get("removed_by") == "unlikely"]
    assert unlikely
    assert not {c["item_id"] for c in unlikely} & {f"item-{n}" for n in usual}
    offered = [found[f"item-{n}"] for n in usual if f"item-{n}" in found]
    assert offered
    assert {c["propensity"] for c in offered} == {1.0}


def seen_filter(hashes: list[int]) -> bytes:
    return SeenFilter.of(hashes, 1_800_000_000_000).to_bytes()


def write(client: Redis, values: dict[str, Any]) -> None:
    for key, value in values.items():
        client.set(key, value)
