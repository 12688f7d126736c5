"""The training settings file: its defaults, its limits, and the message for every kind of mistake."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic.fields import FieldInfo

from export.triton.shapes import span
from tests.support.paths import ROOT
from winnow.release import BuildInputs, Manifest
from winnow.settings.file import MAX_BYTES, SettingsError, changed, load, parse
from winnow.settings.training import (
    MOST_CANDIDATES,
    CandidateCounts,
    RankerSettings,
    RetrieverSettings,
    TrainingSettings,
)
from winnow.signatures import CANDIDATES, RANKER
from winnow.store import history

REFERENCE = ROOT / "docs" / "training.md"


def read(text: str) -> TrainingSettings:
    return parse(TrainingSettings, text, "training.yaml")


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}", "retriever: {}"])
def test_a_file_without_fields_gives_the_defaults(text: str) -> None:
    assert read(text) == TrainingSettings()
    assert changed(read(text)) == ""


def test_a_field_replaces_its_default_and_no_other() -> None:
    settings = read("retriever: {dimension: 128, dropout: 0}\nranker:\n  learning_rate: 1e-3\n")
    assert settings.retriever == RetrieverSettings(dimension=128, dropout=0.0)
    assert settings.ranker == RankerSettings(learning_rate=0.001), "YAML 1.1 reads 1e-3 as text"
    assert settings.candidates == CandidateCounts()
    assert changed(settings) == '{"retriever":{"dimension":128,"dropout":0.0},"ranker":{"learning_rate":0.001}}'
    assert read(changed(settings)) == settings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("retriver: {dimension: 8}", "retriver: unknown; the file takes retriever, covisitation, popularity, "),
        ("popularity: {item: 500}", "popularity.item: unknown; popularity takes items"),
        ("retriever: {layers: two}", 'retriever.layers: must be an integer, got "two"'),
        ("retriever: {layers: '2'}", 'retriever.layers: must be an integer, got "2"'),
        ("retriever: {layers: 2.5}", "retriever.layers: must be an integer, got 2.5"),
        ("retriever: {layers: true}", "retriever.layers: must be an integer, got true"),
        ("ranker: {learning_rate: fast}", 'ranker.learning_rate: must be a number, got "fast"'),
        ("ranker: {learning_rate: true}", "ranker.learning_rate: must be a number, got true"),
        ("ranker: {learning_rate: .nan}", "ranker.learning_rate: must be "),
        ("retriever: {layers: 0}", "retriever.layers: must be greater than or equal to 1, got 0"),
        ("retriever: {dropout: 1}", "retriever.dropout: must be less than 1, got 1"),
        ("covisitation: {reach: -1}", "covisitation.reach: must be greater than 0, got -1"),
        ("retriever: {dimension: 65}", "retriever: dimension 65 must be a multiple of heads, which is 2"),
        (
            "candidates: {retriever: 1000}",
            "candidates: 2 x retriever + covisitation + trending + 50 must be at most 2048",
        ),
        ("retriever: 5", "retriever: must be a mapping of names to values, got 5"),
        ("- retriever", 'the file: must be a mapping of names to values, got ["retriever"]'),
        ("retriever: {layers: [", "is not YAML: "),
        ("retriever: 2020-99-99", "is not YAML: "),
        ("retriever: &all {}\nranker: *all", "YAML aliases (*name) are not supported"),
        ("[" * 20_000, "nests too deeply"),
        ("#" * (MAX_BYTES + 1), "has more than 65,536 bytes"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_file_and_field(text: str, message: str) -> None:
    with pytest.raises(SettingsError) as raised:
        read(text)
    assert str(raised.value).startswith(f"training.yaml: {message}")
    assert "\n" not in str(raised.value)
    assert raised.value.exit_code == 2


def test_several_mistakes_are_listed_together_and_many_are_counted() -> None:
    with pytest.raises(SettingsError, match=r"retriever\.layers: .*; ranker\.width: .*"):
        read("retriever: {layers: 0}\nranker: {width: 0}")
    with pytest.raises(SettingsError, match=r"; and 3 more$"):
        read("\n".join(f"a{number}: 1" for number in range(8)))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.yaml: cannot be read: No such file or directory"):
        load(TrainingSettings, tmp_path / "absent.yaml")
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        load(TrainingSettings, tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"retriever: {} # \xe9")
    with pytest.raises(SettingsError, match=r"latin\.yaml: is not UTF-8 text \(byte 16\)"):
        load(TrainingSettings, tmp_path / "latin.yaml")


def test_the_limits_are_those_of_serving() -> None:
    assert span(RANKER, CANDIDATES).most == MOST_CANDIDATES
    with pytest.raises(SettingsError, match=r"retriever\.history_length: must be less than or equal to 200, got 201"):
        read(f"retriever: {{history_length: {history.KEPT + 1}}}")
    assert read(f"retriever: {{history_length: {history.KEPT}}}").retriever.history_length == history.KEPT


def test_the_retriever_returns_at_most_half_of_a_small_catalog() -> None:
    assert CandidateCounts().within(10_000) == CandidateCounts()
    assert CandidateCounts().within(5) == CandidateCounts(retriever=2)
    assert CandidateCounts().within(1).retriever == 1


def test_the_reference_lists_every_field_with_its_default_and_range() -> None:
    documented = {}
    for line in REFERENCE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ").strip("`")
        elif line.startswith("| `"):
            name, default, limits, meaning = (cell.strip() for cell in line.strip("|").split("|"))
            assert meaning
            documented[section, name.strip("`")] = (default, limits)
    expected = {}
    for section, field in TrainingSettings.model_fields.items():
        assert isinstance(field.annotation, type)
        for name, setting in field.annotation.model_fields.items():
            limits = ", ".join(f"{sign} {limit}" for sign, limit in bounds(setting))
            expected[section, name] = (str(setting.default), limits.replace("4,294,967,296", "2³²"))
    assert documented == expected


def bounds(setting: FieldInfo) -> Iterator[tuple[str, str]]:
    for attribute, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<")):
        for constraint in setting.metadata:
            if hasattr(constraint, attribute):
                yield sign, f"{getattr(constraint, attribute):,}"


def test_releases_of_other_settings_are_not_alike() -> None:
    default, wide = BuildInputs(data="/shop"), BuildInputs(data="/shop", training='{"retriever":{"dimension":128}}')
    assert default.is_like(BuildInputs(data="/shop", items=7))
    assert not default.is_like(wide)
    assert wide.is_like(wide)


def test_a_manifest_from_before_the_settings_is_read() -> None:
    manifest = Manifest(
        number=1,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        dataset="shop",
        source=BuildInputs(data="/shop"),
        holdout="none",
        as_of=0,
        history_length=50,
        candidates={"retriever": 4},
        training=TrainingSettings().model_dump(),
        schema_digest="",
        files={},
        models={},
        parity={},
    )
    assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest
    written = json.loads(manifest.model_dump_json())
    assert written["training"]["retriever"]["dimension"] == 64
    del written["training"], written["source"]["training"]
    before = Manifest.model_validate_json(json.dumps(written))
    assert (before.training, before.source) == ({}, manifest.source)
