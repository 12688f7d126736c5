"""Training that goes on from a release, on a small shop whose log and catalog change."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.training.growing_shop import SETTINGS, Event, features_of, trained_release, walk
from tests.support.training.kept import kept_release
from winnow.errors import ReleaseMismatch, WinnowError
from winnow.features.table import FeatureSet
from winnow.release import Release
from winnow.settings.training import RetrieverSettings, TrainingSettings
from winnow.training.incremental import mapping
from winnow.training.incremental.increment import Increment
from winnow.training.incremental.state import TrainingState, opened
from winnow.training.incremental.train import first_new, go_on
from winnow.training.loop.ranks import Ranks
from winnow.training.ranker.trained import TrainedRanker
from winnow.training.retriever.course import epoch_batches
from winnow.training.retriever.fit import Fit
from winnow.training.retriever.train import RetrieverTraining, withheld_until
from winnow.training.retriever.trained import TrainedRetriever
from winnow.training.retriever.validation import validation_rows
from winnow.training.train import TrainingResult

ITEMS = [f"c{number % 4}-{number}" for number in range(30)]
UNTOUCHED = "c0-28"
"""An item that the old log has no event of."""
OLD = [event for user in range(40) for event in walk(f"u{user}", ITEMS[:28], user * 3, 9, user * 20)]
LATER = 2_000
"""Minute of the first new event."""


@dataclass(frozen=True)
class Known:
    """The release that training goes on from."""

    release: Release
    kept: Path
    features: Path

    @property
    def state(self) -> TrainingState:
        return opened(self.release, self.kept)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Known:
    folder = tmp_path_factory.mktemp("known")
    features = features_of(folder / "shop", ITEMS, OLD)
    return Known(*trained_release(folder, features), features)


def grown(
    known: Known, folder: Path, items: list[str], events: list[Event], settings: TrainingSettings = SETTINGS
) -> tuple[TrainingResult, Increment]:
    """Go on from the release with another catalog and the events since then."""
    of_old_items = [event for event in OLD if event[1] in items]
    features = features_of(folder / "shop", items, [*of_old_items, *events])
    return go_on(features, known.release, known.kept, folder / "retriever", folder / "ranker", settings)


def news(users: range, items: list[str], count: int = 6) -> list[Event]:
    """New events of some users, who walk ``items``."""
    return [event for user in users for event in walk(f"u{user}", items, user * 3 + 9, count, LATER + user)]


def vectors_by_id(folder: Path) -> dict[str, torch.Tensor]:
    ids = FeatureSet.load(folder / "shop" / "features").item_ids.tolist()
    return dict(zip(ids, TrainedRetriever.load(folder / "retriever").item_vectors, strict=True))


def test_a_release_keeps_both_fits_and_no_catalog(known: Known) -> None:
    state = known.state
    assert (len(state.retriever.item_vectors), len(state.holdout_fit.item_vectors)) == (0, 0)
    assert [len(known.state.ranker.model.state_dict()[name]) for name in ("item_vectors", "affinity.relative")] == [
        1,
        1,
    ]
    served = TrainedRetriever.load(known.kept.parents[1] / "retriever")
    torch.testing.assert_close(state.retriever.item_tower.identity.weight, served.item_tower.identity.weight)
    trained = RetrieverTraining.load(known.kept.parents[1] / "retriever").holdout_fit
    torch.testing.assert_close(state.holdout_fit.item_tower.identity.weight, trained.item_tower.identity.weight)


def test_rows_are_found_by_id_and_by_value(known: Known, tmp_path: Path) -> None:
    """Another order of items, removed ones, a new one, and a vocabulary in another order: the vectors are the same."""
    items = ["c9-new", *reversed(ITEMS[5:])]
    more = [
        event
        for user in range(30)
        for event in walk(f"u{user}", [each for each in items if each[1] == "3"], 0, 3, LATER)
    ]
    features = FeatureSet.load(features_of(tmp_path / "shop", items, [*(e for e in OLD if e[1] in items), *more]))
    before = FeatureSet.load(known.features)
    assert features.vocabularies["category"] != before.vocabularies["category"]
    settings = known.state.retriever.settings
    fit = Fit(features, settings, SETTINGS.compute, Ranks())
    mapped = fit.with_vectors(*mapping.towers(known.state.retriever, known.release, features))
    rows = mapping.item_places(features, known.release)
    assert rows.tolist() == [0, mapping.UNKNOWN, *range(30, 5, -1)]
    old = torch.from_numpy(known.release.array("item_vectors")[rows[2:]].copy())
    torch.testing.assert_close(mapped.item_vectors[2:], old)
    identity = mapped.item_tower.identity.weight
    assert not identity[1].any(), "a new item begins as its content places it"
    assert not identity[features.item_ids.tolist().index(UNTOUCHED)].any(), "its id was never learned"

    ranker = mapping.ranker(known.state, known.release, features, mapped.item_vectors)
    served = TrainedRanker.load(known.kept.parents[1] / "ranker").model
    found = [
        model.logits(*_inputs(model, each, places))
        for model, each, places in ((served, before, rows[[2, 9, 20]]), (ranker, features, np.array([2, 9, 20])))
    ]
    torch.testing.assert_close(found[0].scores, found[1].scores)
    torch.testing.assert_close(found[0].heads, found[1].heads)


def _inputs(model: torch.nn.Module, features: FeatureSet, items: np.ndarray) -> tuple[torch.Tensor, ...]:  # type: ignore[type-arg]
    ids = torch.from_numpy(items.astype(np.int32)).unsqueeze(0)
    history = torch.zeros(1, 10, dtype=torch.int32)
    history[0, -3:] = ids[0]
    numbers = torch.linspace(-1, 1, len(model.mean)).repeat(1, len(items), 1)  # type: ignore[arg-type]
    codes = torch.from_numpy(features.item_rows["categorical"][items]).unsqueeze(0)
    nothing = torch.zeros(1, 0)
    return history, (history > 0).int(), (history > 0) * 60.0, nothing.int(), nothing, ids, codes, numbers


def test_new_users_are_learned_and_vectors_stay(known: Known, tmp_path: Path) -> None:
    result, increment = grown(known, tmp_path, ITEMS, news(range(100, 115), ITEMS[:28]))
    assert increment.model_dump(exclude={"cosine", "cosine_p05"}) == {
        "from_release": 1,
        "chain": 1,
        "events": 90,
        "users": 15,
        "items": 0,
        "removed": 0,
    }
    assert 0.9 < increment.cosine_p05 <= increment.cosine <= 1
    assert result.unranked_reason == ""
    before, after = known.state.ranker.model, TrainedRanker.load(tmp_path / "ranker").model
    assert not torch.equal(before.residual.weight, after.residual.weight), "the ranker learned as well"
    torch.testing.assert_close(before.mean, after.mean)


def test_every_users_newest_moments_are_withheld_from_the_holdout_fit(known: Known, tmp_path: Path) -> None:
    """Of users with and without new events: the ranker learns from lists of both."""
    grown(known, tmp_path, ITEMS, [*news(range(5), ITEMS[:28]), *news(range(100, 102), ITEMS[:28])])
    features = FeatureSet.load(tmp_path / "shop" / "features")
    until = RetrieverTraining.load(tmp_path / "retriever").until
    withheld = dict(zip(features.user_ids, features.interactions.offsets[1:] - until, strict=True))
    quarters = {"u0": 15 // 4, "u4": 15 // 4, "u5": 9 // 4, "u39": 9 // 4, "u100": 6 // 4, "u101": 6 // 4}
    assert {user: withheld[user] for user in quarters} == quarters


def test_a_moment_that_the_holdout_fit_has_learned_is_not_withheld_again(known: Known, tmp_path: Path) -> None:
    """It has learned all but the newest two of a user's nine events; eight more arrive late, and one is new."""
    late = walk("u0", ITEMS, 20, 8, 1)
    grown(known, tmp_path, ITEMS, [*late, ("u0", ITEMS[19], LATER)])
    features = FeatureSet.load(tmp_path / "shop" / "features")
    log, user = features.interactions, features.user_ids.tolist().index("u0")
    until = RetrieverTraining.load(tmp_path / "retriever").until
    assert (np.diff(log.offsets)[user], log.offsets[user + 1] - until[user]) == (18, 3)


def test_the_validation_asks_only_users_of_whom_something_is_learned(known: Known) -> None:
    log = FeatureSet.load(known.features).interactions
    values, users = np.ones(len(log.item), np.float32), np.arange(log.users) < 3
    rows = validation_rows(log, values, withheld_until(log, 8), users, 100)
    assert rows.tolist() == (log.offsets[1:4] - 1).tolist()


def test_new_items_get_vectors_of_their_own(known: Known, tmp_path: Path) -> None:
    """The release's users go on to new items, of an old category and of a new one."""
    new = ["c1-new", "c9-newest"]
    _, increment = grown(known, tmp_path, [*ITEMS, *new], news(range(40), new, 2))
    assert (increment.items, increment.events, increment.users) == (2, 80, 40)
    learned = TrainedRetriever.load(tmp_path / "retriever")
    assert learned.item_tower.identity.weight[-2:].any(dim=1).all()


def test_removed_items_are_forgotten(known: Known, tmp_path: Path) -> None:
    kept = ITEMS[10:]
    _, increment = grown(known, tmp_path, kept, news(range(20), kept))
    assert (increment.removed, increment.items) == (10, 0)
    assert set(vectors_by_id(tmp_path)) == {"", *kept}


def test_what_was_learned_is_from_new_and_sampled_old_windows(known: Known) -> None:
    features = FeatureSet.load(known.features)
    log = features.interactions
    since = log.offsets[1:].copy()
    since[:5] -= 2
    values = np.ones(len(log.item), np.float32)
    settings = RetrieverSettings(history_length=10, batch=4, steps=1)
    batches = list(epoch_batches(features, log.offsets[1:], values, settings, (0, 1), since))
    users = np.concatenate([batch.user for batch in batches])
    assert (len(users), set(range(5)) <= set(users.tolist())) == (10, True)


def test_new_events_begin_with_the_moment_of_the_release(known: Known) -> None:
    log = FeatureSet.load(known.features).interactions
    assert (first_new(log, known.release.manifest.as_of) == log.offsets[1:]).all()
    assert (first_new(log, 0) == log.offsets[:-1]).all()
    moment = int(log.timestamp[log.offsets[7] + 3])
    assert first_new(log, moment)[7] == log.offsets[7] + 3


def test_five_items_and_every_event_doubled(tmp_path: Path) -> None:
    items = [f"c-{number}" for number in range(5)]
    old = [event for user in range(12) for event in walk(f"u{user}", items, user, 3, user * 10)]
    new = [event for user in range(6) for event in walk(f"u{user}", items, user + 3, 2, LATER)]
    features = features_of(tmp_path / "old", items, [*old, *old])
    release, kept = trained_release(tmp_path, features)
    grown = features_of(tmp_path / "new", items, [*old, *old, *new, *new])
    result, increment = go_on(grown, release, kept, tmp_path / "retriever2", tmp_path / "ranker2", SETTINGS)
    assert increment.users == 6
    assert "the log gives only " in result.unranked_reason
    assert torch.isfinite(TrainedRetriever.load(tmp_path / "retriever2").item_vectors).all()


def test_without_new_events_there_is_nothing_to_learn(known: Known, tmp_path: Path) -> None:
    with pytest.raises(WinnowError, match="nothing to learn: the data set has no event since release 1, which knows"):
        grown(known, tmp_path, [*ITEMS, "c1-new"], [])


def test_another_catalog_or_log_is_due_a_full_build(known: Known, tmp_path: Path) -> None:
    more = [f"c1-new{number}" for number in range(15)]
    with pytest.raises(WinnowError, match="15 of 45 items are not in release 1, more than 30%: build in full"):
        grown(known, tmp_path / "items", [*ITEMS, *more], news(range(9), more))
    with pytest.raises(WinnowError, match="400 events are newer than release 1, which learned 360: more than 50%"):
        grown(known, tmp_path / "events", ITEMS, news(range(100, 140), ITEMS, 10))


@pytest.mark.parametrize(
    ("spec", "columns", "message"),
    [
        ("events: {view: 1, buy: 4}", "", "declares other event types than release 1 was built with: view .* buy "),
        ("events: {view: 2}", "", "declares other event types .*view .value 2"),
        ("events: {view: 1}\nrepeats: allow", "", "declares other repeats .*: allow, before hide"),
        (
            "events: {view: 1}\nitems: {categorical: [colour]}",
            ",colour",
            "declares other item columns .*colour .categorical",
        ),
    ],
    ids=["event type", "value", "repeats", "column"],
)
def test_another_schema_is_refused(known: Known, tmp_path: Path, spec: str, columns: str, message: str) -> None:
    features = features_of(tmp_path / "shop", ITEMS, [*OLD, *news(range(9), ITEMS)], spec, columns)
    with pytest.raises(WinnowError, match=message):
        go_on(features, known.release, known.kept, tmp_path / "retriever", tmp_path / "ranker", SETTINGS)


def test_other_sizes_are_refused(known: Known, tmp_path: Path) -> None:
    wider = SETTINGS.model_copy(update={"retriever": SETTINGS.retriever.model_copy(update={"dimension": 32})})
    with pytest.raises(WinnowError, match=r"retriever\.dimension differs from that of release 1: build in full"):
        grown(known, tmp_path, ITEMS, news(range(9), ITEMS), wider)


def test_a_chain_ends(known: Known, tmp_path: Path) -> None:
    last, kept = kept_release(known.kept.parents[1], known.features, 11, increment={"chain": 10})
    with pytest.raises(WinnowError, match="release 11 is incremental build 10 since the last full one, as many as"):
        go_on(known.features, last, kept, tmp_path / "retriever", tmp_path / "ranker", SETTINGS)


def test_a_release_without_its_training_state_is_refused(known: Known, tmp_path: Path) -> None:
    manifest = known.release.manifest
    before = Release(known.release.folder, manifest.model_copy(update={"training_files": {}}))
    with pytest.raises(WinnowError, match="release 1 keeps no training state, because an earlier version of Winnow"):
        opened(before, known.kept)
    with pytest.raises(ReleaseMismatch, match="is missing or has changed since release 1 was built: restore it"):
        opened(known.release, tmp_path)
    files = {name: sha for name, sha in manifest.training_files.items() if not name.startswith("holdout_fit/")}
    shutil.copytree(known.kept, tmp_path / "1", ignore=shutil.ignore_patterns("holdout_fit"))
    without = Release(known.release.folder, manifest.model_copy(update={"training_files": files}))
    with pytest.raises(WinnowError, match="release 1 has models of another version of Winnow, from which this one"):
        opened(without, tmp_path / "1")
