"""The gate's checks of files, parity and schema, of a release folder with real digests."""

from pathlib import Path

import pytest

from tests.support.tiny_release import SCHEMA, write_bare_release, write_release
from winnow.lifecycle import verdict
from winnow.lifecycle.gate import artefacts
from winnow.lifecycle.gate.rules import ParityRules, SchemaRules
from winnow.lifecycle.verdict import Verdict
from winnow.release import Manifest, Release
from winnow.schema import Feature, FeatureSchema


def test_a_changed_a_cut_and_a_missing_file_are_named(tmp_path: Path) -> None:
    release = write_release(tmp_path / "releases", 1)
    assert artefacts.whole(release).passed
    path = release.folder / "item_vectors.npy"
    content = path.read_bytes()
    for wrong in (content[: len(content) // 2], content[:-4] + b"\0\0\0\1", None):
        path.unlink() if wrong is None else path.write_bytes(wrong)
        check = artefacts.whole(release)
        assert not check.passed
        assert check.message.startswith(f"{path} is missing or has changed since release 1 was built")


def with_manifest(tmp_path: Path, **changed: object) -> Release:
    release = write_release(tmp_path, 1)
    return Release(release.folder, Manifest.model_validate(release.manifest.model_dump() | changed))


def test_parity_has_a_bound_for_scores_and_one_for_encoders(tmp_path: Path) -> None:
    distances = {"ranker": 0.002, "retriever": 1e-6, "image_encoder": 0.0005, "text_encoder": 0.1}
    release = with_manifest(tmp_path, parity=distances, models=dict.fromkeys([*distances, "item_tower"], ""))
    checks = {check.name: check for check in artefacts.parity(release, ParityRules())}
    assert {name for name, check in checks.items() if not check.passed} == {
        "parity: ranker",
        "parity: text_encoder",
        "parity: item_tower",
    }
    assert checks["parity: ranker"].message == "ranker is 0.002 away from PyTorch; at most 0.001 is allowed"


def schema(**changed: object) -> FeatureSchema:
    return FeatureSchema.model_validate(SCHEMA.model_dump() | changed)


RENAMED = (*SCHEMA.item[:-1], Feature(name="weight", kind="numeric"))


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (schema(item=RENAMED), "item features removed: grams; item features added: weight"),
        (
            schema(user=(Feature(name="country", kind="numeric"),)),
            "user feature country was categorical and is numeric",
        ),
        (schema(item=(SCHEMA.item[1], SCHEMA.item[0], *SCHEMA.item[2:])), "item features are in another order"),
        (schema(repeats="allow"), "repeats was hide and is allow"),
        (schema(event_values=(1.0, 40.0, -5.0)), "event_values was 1.0, 4.0, -5.0 and is 1.0, 40.0, -5.0"),
    ],
)
def test_a_change_of_the_schema_is_named(after: FeatureSchema, said: str, tmp_path: Path) -> None:
    live = write_bare_release(tmp_path / "live", SCHEMA, {}, "none")
    candidate = write_bare_release(tmp_path / "candidate", after, {}, "none")
    check = artefacts.schema(candidate, live, SchemaRules())
    assert not check.passed
    assert check.message.startswith(said)
    assert after.digest[:12] in check.message
    assert artefacts.schema(candidate, live, SchemaRules(change="pass")).passed


def test_new_values_of_a_category_are_no_change_of_the_schema(tmp_path: Path) -> None:
    grown = (SCHEMA.item[0].model_copy(update={"cardinality": 9, "mean": 1.0}), *SCHEMA.item[1:])
    live = write_bare_release(tmp_path / "live", SCHEMA, {}, "none")
    candidate = write_bare_release(tmp_path / "candidate", schema(item=grown), {}, "none")
    assert candidate.manifest.schema_digest != live.manifest.schema_digest
    assert artefacts.schema(candidate, live, SchemaRules()).passed


def test_a_verdict_lies_beside_the_evaluation_too(tmp_path: Path) -> None:
    judged = Verdict(release=3, live=None, evaluated=2, passed=True, checks=())
    place = verdict.write(tmp_path, judged)
    assert place == str(tmp_path / "evaluations/3/gate.json")
    for number in (2, 3):
        content = (tmp_path / "evaluations" / str(number) / "gate.json").read_bytes()
        assert Verdict.model_validate_json(content) == judged
