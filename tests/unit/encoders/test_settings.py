"""Encoders are chosen in a small YAML file; errors are named."""

from pathlib import Path

import pytest

from winnow.encoders.settings import Clap, EncoderSettings, OpenClip, Sentence, Timm, Tiny, TinySettings
from winnow.errors import WinnowError


def test_the_default_is_winnow_tiny_for_every_modality() -> None:
    settings = EncoderSettings.parse("", "encoders")
    assert settings == EncoderSettings()
    assert settings.image == settings.text == settings.audio == Tiny()
    assert settings.tiny == TinySettings()


def test_every_choice_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / "encoders.yaml"
    path.write_text(
        "image: {kind: open_clip, model: ViT-B-32, pretrained: laion2b_s34b_b79k}\n"
        "text: {kind: sentence, model: some/model}\n"
        "audio: null\n"
        "tiny: {steps: 300}\n"
    )
    settings = EncoderSettings.load(path)
    assert settings.image == OpenClip(kind="open_clip", model="ViT-B-32", pretrained="laion2b_s34b_b79k")
    assert settings.text == Sentence(kind="sentence", model="some/model", context_length=64)
    assert settings.audio is None
    assert settings.tiny == TinySettings(steps=300)
    other = EncoderSettings.parse(
        '{"image": {"kind": "timm", "model": "resnet50"}, "text": "winnow-tiny", '
        '"audio": {"kind": "clap", "model": "a"}}',
        "encoders",
    )
    assert (other.image, other.text) == (Timm(kind="timm", model="resnet50"), Tiny())
    assert other.audio == Clap(kind="clap", model="a")
    assert EncoderSettings.model_validate_json(other.model_dump_json()) == other


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("image: {kind: timm}", r"encoders: image\.model: must be given"),
        ("image: {kind: clap, model: a}", r"encoders: image: .*'clap' .*'winnow-tiny', 'open_clip', 'timm'"),
        ("text: wordy", r"encoders: text: .*'wordy'.*'sentence'"),
        ("audio: {kind: clap, model: a, size: 4}", r"encoders: audio\.size: unknown"),
        ("text: {kind: sentence, model: a, context_length: 0}", r"encoders: text\.context_length: .*greater than"),
        ("tiny: {steps: 0}", r"encoders: tiny\.steps: .*greater than"),
        ("tiny: {steps: many}", r"encoders: tiny\.steps: .*integer"),
        ("video: winnow-tiny", r"encoders: video: unknown; the file takes image, text, audio, tiny"),
        ("- a\n- b", r"encoders: the file: must be a mapping"),
        ("image: {kind: [", r"encoders: is not YAML"),
    ],
)
def test_errors_are_named_by_field(text: str, expected: str) -> None:
    with pytest.raises(WinnowError, match=expected):
        EncoderSettings.parse(text, "encoders")


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WinnowError, match=r"gone\.yaml: cannot be read: No such file"):
        EncoderSettings.load(tmp_path / "gone.yaml")
