"""Served features beside the same features recomputed from the release's source."""

import asyncio
import csv
import json
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis import Redis

from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.funnel.runner import Runner
from recommender_transformer.pipeline import recommender
from tests.support.tiny_release import write_release
from winnow import release as releases
from winnow.datasets.ingest import ingest
from winnow.errors import WinnowError
from winnow.evaluation import recompute, skew
from winnow.evaluation.comparison import FeatureSkew
from winnow.evaluation.skew import SkewReport, differing
from winnow.features import extract as extraction
from winnow.features.extract import extract
from winnow.feedback.impressions import sampled
from winnow.feedback.rebuild import rebuild
from winnow.items.arrays import id_arrays
from winnow.release import Release
from winnow.request import RecommendRequest
from winnow.schema import DAY_MS, HALF_LIVES
from winnow.store.keys import EVENTS, IMPRESSIONS, Keys

ITEMS, USERS, LOGGED = 120, 12, 700
START = 1_700_000_000_000
_numbers = count(7501)

ITEM_COLUMNS = ("item_id", "title", "category", "price", "created_at", "colour", "grams")


def item(number: int) -> dict[str, Any]:
    return {
        "item_id": f"thing-{number}",
        "title": f"Thing {number}",
        "category": ("books", "toys", "music", "")[number % 4],
        "price": 3 + number,
        "created_at": START + number * DAY_MS // 10,
        "colour": ("red", "blue")[number % 2],
        "grams": number * 7 % 50,
    }


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def items_of(folder: Path) -> list[dict[str, Any]]:
    with (folder / "items.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A data folder of a shop."""
    folder = tmp_path / "shop"
    folder.mkdir()
    rng = np.random.default_rng(3)
    (folder / "dataset.yaml").write_text(
        "name: shop\nevents: {view: 1, buy: 5}\nitems: {categorical: [colour], numeric: [grams]}\n"
        "users: {categorical: [country], numeric: [age]}\n"
    )
    write_csv(folder / "items.csv", [item(number) for number in range(ITEMS)])
    users = [{"user_id": f"shopper-{n}", "country": ("pt", "fi")[n % 2], "age": 20 + n} for n in range(USERS)]
    write_csv(folder / "users.csv", users)
    write_csv(
        folder / "events.csv",
        [
            {
                "user_id": f"shopper-{rng.integers(USERS)}",
                "item_id": f"thing-{rng.integers(ITEMS)}",
                "event": ("view", "buy")[int(rng.random() < 0.2)],
                "timestamp": START + int(day * DAY_MS),
            }
            for day in np.sort(rng.uniform(0, 60, LOGGED))
        ],
    )
    return folder


@pytest.fixture
def release(tmp_path: Path, source: Path) -> Release:
    """A release whose rows come from feature extraction of that folder; its models' arrays are random."""
    features = extract(ingest(str(source), tmp_path / "dataset"), {})
    tiny = write_release(tmp_path, 1)
    rng, number, log = np.random.default_rng(0), next(_numbers), features.interactions
    vectors = rng.standard_normal((ITEMS + 1, 8)).astype(np.float32)
    return releases.write(
        tmp_path / str(number),
        {
            **id_arrays(features.item_ids),
            "user_ids": features.user_ids,
            "item_rows": features.item_rows,
            "user_rows": features.user_rows,
            "offsets": log.offsets,
            "item": log.item,
            "event": log.event,
            "grade": log.grade,
            "timestamp": log.timestamp,
            "item_vectors": vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
            "neighbours": rng.integers(1, ITEMS + 1, (ITEMS + 1, 10)).astype(np.int32),
            "neighbour_weights": rng.random((ITEMS + 1, 10)).astype(np.float32),
            "popular": (rng.permutation(ITEMS) + 1).astype(np.int32),
        },
        {
            "schema.json": features.schema.model_dump_json(),
            "vocabularies.json": json.dumps(features.vocabularies),
            **{name: (tiny.folder / name).read_text() for name in ("encoders.json", "tokenizer.json")},
        },
        number=number,
        dataset=f"shop-{number}",
        source=releases.BuildInputs(data=str(source)),
        holdout="none",
        as_of=features.as_of,
        history_length=12,
        candidates={"retriever": 60, "covisitation": 40, "trending": 50},
        schema_digest=features.schema.digest,
        models={},
        parity={},
    )


Answer = Callable[..., None]
Check = Callable[..., SkewReport]


@pytest.fixture
def answer(published: Release, redis_url: str, models: Any) -> Answer:
    """Answer users, among them a cold-start user, under request ids whose features are sampled."""

    def run(users: int = USERS, fresh: int = 0) -> None:
        ids = (f"asked-{number}" for number in count())
        kept = (request_id for request_id in ids if sampled(request_id))

        async def inside() -> None:
            store = OnlineStore(published, redis_url)
            runner = Runner(recommender(published, store, models), store.cold_start_state, 5000)
            try:
                for user in [*(f"shopper-{n}" for n in range(users)), "someone-new"]:
                    request = RecommendRequest(user_id=user, k=10)
                    [query] = await runner.admit([request], next(kept))
                    await runner.recommend(query)
                await asyncio.sleep(0.3)
            finally:
                await runner.close()
                await store.close()

        asyncio.run(inside())

    return run


@pytest.fixture
def check(published: Release, redis_url: str) -> Check:
    def run(limit: int = 1000) -> SkewReport:
        return skew.check(published, redis_url, limit)

    return run


def feature(report: SkewReport, name: str) -> FeatureSkew:
    (found,) = [one for one in report["features"] if one["feature"] == name]
    return found


def test_a_clean_run_has_no_difference(answer: Answer, check: Check) -> None:
    answer()
    report = check()
    assert differing(report) == []
    assert report["not_checked"] == {}
    assert report["impressions"] == USERS + 1
    assert {one["feature"]: one["compared"] for one in report["features"]} == {
        **dict.fromkeys(
            (
                f"item.{name}"
                for name in (
                    "index",
                    "available",
                    "category",
                    "colour",
                    *HALF_LIVES,
                    "popularity",
                    "mean_weight",
                    "age",
                    "price",
                    "grams",
                )
            ),
            10 * (USERS + 1),
        ),
        **dict.fromkeys((f"user.{name}" for name in ("index", "available", "country", "age")), USERS + 1),
        "history": USERS + 1,
    }
    assert check(limit=3)["impressions"] == 3


def test_a_changed_half_life_is_found_and_named(answer: Answer, check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    answer()
    monkeypatch.setitem(HALF_LIVES, "popularity_7d", 9)
    report = check()
    assert differing(report) == ["item.popularity_7d"]
    found = feature(report, "item.popularity_7d")
    assert found["differing"] > 100
    assert 0 < found["largest"] < 2
    example = found["examples"][0]
    assert abs(example["served"] - example["recomputed"]) <= found["largest"] + 1e-6
    assert example["item_id"].startswith("thing-")
    assert len(found["examples"]) == 3


def test_a_changed_scaling_is_found_although_it_is_linear(
    answer: Answer, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Standard scores hide a change of scale, so the release's own mean and scale are used."""
    answer()
    as_before = extraction._log_price
    monkeypatch.setattr(extraction, "_log_price", lambda column: extraction.pc.multiply(as_before(column), 2.0))
    assert differing(check()) == ["item.price"]


def test_an_overwritten_row_is_found(answer: Answer, check: Check, published: Release, redis_url: str) -> None:
    client, keys = Redis.from_url(redis_url), Keys(published.manifest.number)
    for number in range(ITEMS):
        row = np.frombuffer(client.get(keys.item(f"thing-{number}")), published.schema.item_dtype).copy()
        row["categorical"][0, 1] = 3 - row["categorical"][0, 1]
        client.set(keys.item(f"thing-{number}"), row.tobytes())
    answer(users=2)
    report = check()
    assert differing(report) == ["item.colour"]
    found = feature(report, "item.colour")
    assert found["differing"] == found["compared"] == 30
    assert found["largest"] is None
    assert sorted([*found["examples"][0]["served"], *found["examples"][0]["recomputed"]]) == ["blue", "red"]


@pytest.fixture
def happen(redis_url: str) -> Iterator[Callable[[int], bytes]]:
    """Append an event of the first user; it is removed from the stream afterwards, which other tests read too."""
    client, added = Redis.from_url(redis_url), []

    def run(number: int) -> bytes:
        fields = {"user_id": "shopper-0", "item_id": f"thing-{number}", "event": "view"}
        added.append(client.xadd(EVENTS, fields | {"timestamp": START + 61 * DAY_MS}))
        return added[-1]

    yield run
    client.xdel(EVENTS, *added)


def test_a_history_follows_the_stream(
    answer: Answer,
    happen: Callable[[int], bytes],
    check: Check,
    published: Release,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    happen(3)
    answer(users=1)
    assert differing(check()) == [], "an event just before the answer: it may or may not count"
    monkeypatch.setattr(recompute, "SETTLING_MS", 0)
    report = check()
    assert differing(report) == ["history"]
    assert feature(report, "history")["largest"] == 2, "one more event displaces the oldest one"
    rebuild(published, redis_url, show_progress=False)
    answer(users=1)
    assert differing(check(limit=2)) == []


def test_events_that_left_the_stream_are_reported_as_not_checked(
    answer: Answer, happen: Callable[[int], bytes], check: Check, published: Release, redis_url: str
) -> None:
    entry = happen(3)
    rebuild(published, redis_url, show_progress=False)
    answer(users=1)
    assert differing(check()) == []
    Redis.from_url(redis_url).xdel(EVENTS, entry)
    report = check()
    assert differing(report) == []
    assert report["not_checked"] == {"histories with events that were trimmed from the stream": 1}


def test_rows_added_to_the_source_change_nothing(answer: Answer, check: Check, source: Path, release: Release) -> None:
    answer()
    newer = [item(number) | {"price": 10_000, "colour": "green"} for number in range(ITEMS, ITEMS + 40)]
    write_csv(source / "items.csv", [*newer, *items_of(source)])
    with (source / "events.csv").open("a") as file:
        file.writelines(f"shopper-1,thing-{n},buy,{release.manifest.as_of + n}\n" for n in range(50))
    report = check()
    assert differing(report) == []
    assert report["not_checked"] == {}


def test_rows_missing_from_the_source_are_reported_as_not_checked(answer: Answer, check: Check, source: Path) -> None:
    answer()
    users = (source / "users.csv").read_text().splitlines()
    events = (source / "events.csv").read_text().splitlines()
    gone = "shopper-3,"
    (source / "users.csv").write_text("\n".join(line for line in users if not line.startswith(gone)) + "\n")
    (source / "events.csv").write_text("\n".join(line for line in events if not line.startswith(gone)) + "\n")
    report = check()
    assert report["not_checked"] == {"rows of users that the source no longer has": 1}
    # Fewer events give another popularity, which is a difference.
    assert "item.popularity" in differing(report)
    assert "item.price" not in differing(report)


def test_other_columns_than_the_releases_are_refused(answer: Answer, check: Check, source: Path) -> None:
    answer(users=1)
    described = (source / "dataset.yaml").read_text()
    (source / "dataset.yaml").write_text(described.replace("categorical: [colour], ", ""))
    with pytest.raises(WinnowError, match="declares other columns or event types than release"):
        check()


def test_a_broken_impression_is_counted(answer: Answer, check: Check, redis_url: str) -> None:
    answer(users=2)
    client = Redis.from_url(redis_url)
    [(_, newest)] = client.xrevrange(IMPRESSIONS, count=1)
    client.xadd(IMPRESSIONS, newest | {b"history_items": newest[b"history_items"] + b"short"})
    client.xadd(IMPRESSIONS, newest | {b"item_rows": newest[b"item_rows"][::-1]})
    report = check()
    assert report["impressions"] == 3
    assert report["not_checked"] == {"impressions whose features are not whole": 2}


def test_without_impressions_the_error_names_the_remedy(check: Check) -> None:
    with pytest.raises(WinnowError, match="one request in 16: request some recommendations first"):
        check()
