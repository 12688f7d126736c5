"""Checks of a release's files: digests, parity, and its schema beside the live release's."""

from collections.abc import Iterator

from winnow.errors import WinnowError
from winnow.lifecycle.gate.rules import ParityRules, SchemaRules
from winnow.lifecycle.live import check_whole
from winnow.lifecycle.verdict import Check
from winnow.release import Release
from winnow.schema import Feature, FeatureSchema


def whole(release: Release) -> Check:
    """Whether every file of a release and of its models, in its home, is the one that the build wrote and checked."""
    name = "files"
    try:
        check_whole(str(release.folder.parent.parent), release.manifest.number)
    except WinnowError as error:
        return Check(name=name, passed=False, message=str(error))
    count = len(release.manifest.files) + len(release.manifest.models)
    return Check(name=name, passed=True, message=f"{count} files have the digests of the manifest")


def parity(release: Release, rules: ParityRules) -> Iterator[Check]:
    """How far each model is from PyTorch's, as the build measured it of the very file that the manifest names."""
    for model, distance in sorted(release.manifest.parity.items()):
        bound = rules.encoders if model.endswith("_encoder") else rules.scores
        message = f"{model} is {distance:.2g} away from PyTorch"
        passed = distance <= bound
        ending = "" if passed else f"; at most {bound:g} is allowed"
        yield Check(name=f"parity: {model}", passed=passed, value=distance, bound=bound, message=message + ending)
    for model in sorted(release.manifest.models.keys() - release.manifest.parity.keys()):
        message = f"the build did not compare {model} with PyTorch: build the release again"
        yield Check(name=f"parity: {model}", passed=False, message=message)


def schema(release: Release, live: Release, rules: SchemaRules) -> Check:
    """Whether features and event types are those of the live release.

    Cardinalities, means and scales differ between any two builds, and do not count.
    """
    name, number = "feature schema", live.manifest.number
    changes = list(_changes(live.schema, release.schema))
    if not changes:
        digest = _structure(release.schema).digest
        return Check(name=name, passed=True, message=f"as in release {number} (without cardinalities: {digest[:12]})")
    ours, theirs = (one.manifest.schema_digest[:12] for one in (release, live))
    message = f"{'; '.join(changes)} (schema {ours}, release {number} has {theirs})"
    if rules.change == "refuse":
        message += "; if this is intended, set feature_schema.change to `pass` for this release"
    return Check(name=name, passed=rules.change == "pass", value=len(changes), bound=0.0, message=message)


def _structure(schema: FeatureSchema) -> FeatureSchema:
    """The schema without what every build computes from its data."""

    def plain(features: tuple[Feature, ...]) -> tuple[Feature, ...]:
        return tuple(
            feature.model_copy(update={"cardinality": 0, "mean": 0.0, "scale": 1.0, "width": 1}) for feature in features
        )

    return schema.model_copy(update={"item": plain(schema.item), "user": plain(schema.user)})


def _changes(before: FeatureSchema, after: FeatureSchema) -> Iterator[str]:
    for table in ("item", "user"):
        old = {feature.name: feature.kind for feature in getattr(before, table)}
        new = {feature.name: feature.kind for feature in getattr(after, table)}
        if gone := [name for name in old if name not in new]:
            yield f"{table} features removed: {', '.join(gone)}"
        if added := [name for name in new if name not in old]:
            yield f"{table} features added: {', '.join(added)}"
        for name in (name for name in old if name in new and old[name] != new[name]):
            yield f"{table} feature {name} was {old[name]} and is {new[name]}"
        if not gone and not added and list(old) != list(new):
            yield f"{table} features are in another order"
    for field in FeatureSchema.model_fields.keys() - {"item", "user"}:
        was, now = getattr(before, field), getattr(after, field)
        if was != now:
            yield f"{field} was {_plain(was)} and is {_plain(now)}"


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) or "empty" if isinstance(value, tuple) else str(value)
