"""``gate.yaml``: its defaults, and the message for a mistake."""

from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from tests.support.paths import ROOT
from winnow.lifecycle.gate import Gate
from winnow.lifecycle.gate.rules import ChangeThreshold, ValueThreshold
from winnow.settings.file import SettingsError, load, parse


def test_the_example_names_every_field_with_its_default() -> None:
    path = ROOT / "examples" / "gate.yaml"
    assert load(Gate, path) == Gate()
    assert fields(yaml.safe_load(path.read_text())) == fields(Gate().model_dump(exclude={"metrics": {"changes"}}))


def fields(document: Any) -> dict[str, set[str]]:
    return {section: set(given) - {"changes"} for section, given in document.items()}


def test_a_field_replaces_its_default_and_no_other() -> None:
    rules = parse(Gate, "metrics: {values: {ndcg@10: {lower: 5e-2}}}\nload: {seconds: 2}", "gate.yaml")
    assert rules.metrics.values == {"ndcg@10": ValueThreshold(lower=0.05)}
    assert rules.metrics.changes == {
        "ndcg@10": ChangeThreshold(relative=0.05),
        "recall@50": ChangeThreshold(relative=0.05),
    }
    assert rules.load.seconds == 2
    assert rules.data == Gate().data


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("metric: {}", "metric: unknown; the file takes metrics, parity, data, feature_schema, replay, load"),
        ("data: {volume: 1}", "data.volume: unknown; data takes smallest_volume, "),
        ("metrics: {changes: {ndcg@10: 0.05}}", "metrics.changes.ndcg@10: must be a mapping"),
        ("metrics: {changes: {ndcg@10: {}}}", "metrics.changes.ndcg@10: give relative, absolute or both"),
        ("metrics: {changes: {ndcg@10: {relative: -1}}}", "metrics.changes.ndcg@10.relative: must be greater than 0"),
        ("metrics: {values: {ndcg@10: {lower: 2, upper: 1}}}", "lower is 2 and upper 1: nothing lies between them"),
        ("metrics: {too_few_users: maybe}", "metrics.too_few_users: must be 'pass' or 'refuse', got \"maybe\""),
        ("data: {smallest_volume: .nan}", "data.smallest_volume: must be "),
        ("data: {share_change: 1.5}", "data.share_change: must be less than or equal to 1, got 1.5"),
        ("load: {per_second: 100000}", "load.per_second: must be less than or equal to 1000"),
        ("replay: {requests: 0}", "replay.requests: must be greater than or equal to 1, got 0"),
        ("load: {p99_ms: true}", "load.p99_ms: must be a number, got true"),
    ],
)
def test_a_mistake_is_one_sentence(text: str, message: str) -> None:
    with pytest.raises(SettingsError) as error:
        parse(Gate, text, "gate.yaml")
    assert str(error.value).startswith("gate.yaml: ")
    assert message in str(error.value)
    assert error.value.exit_code == 2


def test_every_field_has_its_reason_in_the_guide() -> None:
    guide = (ROOT / "docs" / "gate.md").read_text()
    sections = [(name, field.annotation) for name, field in Gate.model_fields.items()]
    for name, section in sections:
        assert isinstance(section, type)
        assert issubclass(section, BaseModel)
        for field in section.model_fields:
            assert f"| `{name}.{field}` |" in guide, f"docs/gate.md has no row of {name}.{field}"
