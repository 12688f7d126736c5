"""When training cannot, or should not, go on from a release: a full build is due, and the message says why."""

from collections.abc import Iterable
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from winnow.errors import WinnowError
from winnow.features.table import FeatureSet
from winnow.release import Release
from winnow.schema import Feature, FeatureSchema
from winnow.settings.training import RetrieverSettings, TrainingSettings
from winnow.training.incremental.mapping import UNKNOWN
from winnow.training.incremental.state import TrainingState

MOST_CHAIN = 10
"""Incremental builds on one full build: each keeps the encoders, and reads the old events in samples only."""

MOST_NEW_ITEMS = 0.3
"""Share of the catalog that may be new: vectors that stay where they were leave little room for a new half."""

MOST_NEW_EVENTS = 0.5
"""New events, in multiples of those that the release has learned: beyond, a full build costs little more."""

_FULL = "build in full, without --from"


def chain(release: Release) -> int:
    """The number of the next incremental build since the last full one.

    Raises:
        WinnowError: the release is the last of its chain.
    """
    number = 1 + int(release.manifest.increment.get("chain", 0))
    if number > MOST_CHAIN:
        raise WinnowError(
            f"release {release.manifest.number} is incremental build {MOST_CHAIN} since the last full one, as many as "
            f"there may be: {_FULL}"
        )
    return number


def check(release: Release, state: TrainingState, features: FeatureSet, settings: TrainingSettings) -> None:
    """Check that the models of a release fit a new feature set.

    Args:
        release: the release.
        state: its models.
        features: the new feature set.
        settings: of the training.

    Raises:
        WinnowError: features, event types, modalities or the sizes of the models differ.
    """
    number = release.manifest.number
    before, now = _described(release.schema), _described(features.schema)
    different = [name for name in before if before[name] != now[name]]
    if different:
        name = different[0]
        raise WinnowError(
            f"the data set declares other {name} than release {number} was built with: {now[name]}, before "
            f"{before[name]}; its models cannot learn that: {_FULL}"
        )
    modalities = {name: array.shape[1] for name, array in sorted(features.embeddings.items())}
    if state.retriever.shapes.modalities != modalities:
        raise WinnowError(
            f"the items have embeddings of {_words(modalities)}, those of release {number} have "
            f"{_words(state.retriever.shapes.modalities)}: {_FULL}"
        )
    sizes = ("dimension", "layers", "heads", "history_length")
    kept: RetrieverSettings = state.retriever.settings
    changed = [name for name in sizes if getattr(kept, name) != getattr(settings.retriever, name)]
    if changed or state.ranker.settings.width != settings.ranker.width:
        name = f"retriever.{changed[0]}" if changed else "ranker.width"
        raise WinnowError(f"{name} differs from that of release {number}: {_FULL}")


def check_news(release: Release, features: FeatureSet, rows: NDArray[np.int64], since: NDArray[np.int64]) -> None:
    """Check that there is something to learn, and not too much.

    Args:
        release: the release.
        features: the new feature set.
        rows: int64 [n + 1], :func:`winnow.training.incremental.mapping.item_places`.
        since: int64 [users], the row of each user's first new event.

    Raises:
        WinnowError: no event is newer than the release, or too many events or items are.
    """
    log, manifest = features.interactions, release.manifest
    new = int((log.offsets[1:] - since).sum())
    if not new:
        newest = datetime.fromtimestamp(manifest.as_of / 1000, UTC)
        raise WinnowError(
            f"there is nothing to learn: the data set has no event since release {manifest.number}, which knows those "
            f"before {newest:%Y-%m-%d %H:%M:%S} UTC; `winnow items add` serves new items without a build"
        )
    items = int((rows == UNKNOWN).sum())
    if items > MOST_NEW_ITEMS * features.items:
        raise WinnowError(
            f"{items:,} of {features.items:,} items are not in release {manifest.number}, more than "
            f"{MOST_NEW_ITEMS:.0%}: {_FULL}"
        )
    learned = len(release.array("item"))
    if new > MOST_NEW_EVENTS * learned:
        raise WinnowError(
            f"{new:,} events are newer than release {manifest.number}, which learned {learned:,}: more than "
            f"{MOST_NEW_EVENTS:.0%} of them; {_FULL}"
        )


def _described(schema: FeatureSchema) -> dict[str, object]:
    """What the models' layers depend on, as the messages name it; vocabularies, means and scales may change."""

    def columns(features: tuple[Feature, ...]) -> str:
        return _words([f"{feature.name} ({feature.kind})" for feature in features])

    values = zip(schema.events, schema.event_values, schema.event_windows_ms, strict=True)
    return {
        "item columns": columns(schema.item),
        "user columns": columns(schema.user),
        "event types": _words([f"{name} (value {value:g}, window {window:,} ms)" for name, value, window in values]),
        "conversions": _words(schema.conversions),
        "full amounts": _words([f"{amount:g}" for amount in schema.event_full_amounts]),
        "repeats": schema.repeats,
    }


def _words(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
