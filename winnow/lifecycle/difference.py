"""What differs between two releases: their builds, settings, schemas, catalogs, metrics and files."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from winnow.release import Release

Metrics = Mapping[str, float]
"""Metric -> value."""


@dataclass(frozen=True)
class Difference:
    """A value that two releases have differently; empty where one has none.

    Attributes:
        section: ``build``, ``settings``, ``schema``, ``catalog``, ``models``, ``metrics`` or ``files``.
        name: of the value.
        before: in the first release.
        after: in the second one.
    """

    section: str
    name: str
    before: str
    after: str


def differences(
    before: Release, after: Release, metrics: tuple[Metrics, Metrics] = ({}, {}), repositories: Path | None = None
) -> list[Difference]:
    """Compare two releases.

    Args:
        before: the first.
        after: the second.
        metrics: what was measured of each, where both were evaluated.
        repositories: the folder of the Triton repositories, to compare the sizes of the models' files.
    """
    sections = {
        "build": (_build(before), _build(after)),
        "settings": (_settings(before), _settings(after)),
        "schema": (_schema(before), _schema(after)),
        "catalog": (_catalog(before), _catalog(after)),
        "models": (_models(before), _models(after)),
        "metrics": tuple({name: f"{value:.4f}" for name, value in each.items()} for each in metrics),
        "files": (_sizes(before, repositories), _sizes(after, repositories)),
    }
    found = [
        Difference(section, name, first.get(name, ""), second.get(name, ""))
        for section, (first, second) in sections.items()
        for name in dict.fromkeys([*first, *second])
        if first.get(name) != second.get(name)
    ]
    return [*found, *_items(before, after)]


def _build(release: Release) -> dict[str, str]:
    manifest = release.manifest
    source = manifest.source
    # The sizes are those of the generated marketplace only.
    of_source = {"data": source.data} if source.data else source.model_dump(exclude={"encoders", "training"})
    return {
        "data set": manifest.dataset,
        "hold-out": manifest.holdout,
        "events before": _moment(manifest.as_of),
        **{name: str(value) for name, value in of_source.items()},
        "encoders": source.encoders,
    }


def _settings(release: Release) -> dict[str, str]:
    manifest = release.manifest
    flat = {
        f"{section}.{name}": str(value)
        for section, fields in manifest.training.items()
        for name, value in fields.items()
    }
    served = {f"candidates of {name}": str(count) for name, count in manifest.candidates.items()}
    return flat | served | {"history length": str(manifest.history_length)}


def _schema(release: Release) -> dict[str, str]:
    schema = release.schema
    features = {
        f"{owner} {feature.name}": " ".join(
            f"{name}={value}" for name, value in feature.model_dump(exclude_defaults=True).items() if name != "name"
        )
        for owner, group in (("item", schema.item), ("user", schema.user))
        for feature in group
    }
    events = dict(zip(schema.events, schema.event_values, strict=True))
    return features | {f"event {name}": f"value {value:g}" for name, value in events.items()}


def _catalog(release: Release) -> dict[str, str]:
    return {
        "items": f"{release.items:,}",
        "users": f"{len(release.array('user_ids')):,}",
        "events": f"{len(release.array('item')):,}",
    }


def _models(release: Release) -> dict[str, str]:
    manifest = release.manifest
    index = {} if manifest.index is None else {"search": manifest.index.kind}
    digests = {name: digest[:12] for name, digest in manifest.models.items()}
    return digests | index | {"unranked": manifest.unranked}


def _sizes(release: Release, repositories: Path | None) -> dict[str, str]:
    sizes = {name: release.folder / name for name in release.manifest.files}
    if repositories is not None:
        number = str(release.manifest.number)
        for name in release.manifest.models:
            sizes[f"{name}/model.onnx"] = repositories / number / name / number / "model.onnx"
    return {name: f"{path.stat().st_size:,} bytes" for name, path in sizes.items() if path.is_file()}


def _items(before: Release, after: Release) -> Iterator[Difference]:
    """Items that one of the releases lacks, by the hash of their ids."""
    first, second = before.array("sorted_hashes"), after.array("sorted_hashes")
    gone, new = len(np.setdiff1d(first, second)), len(np.setdiff1d(second, first))
    if gone:
        yield Difference("catalog", "items only in the first", f"{gone:,}", "")
    if new:
        yield Difference("catalog", "items only in the second", "", f"{new:,}")


def _moment(milliseconds: int) -> str:
    return str(np.datetime64(milliseconds, "ms").astype("datetime64[s]")).replace("T", " ") + " UTC"
