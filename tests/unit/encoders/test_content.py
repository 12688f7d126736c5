"""Untrusted raw content becomes model input, without torch."""

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Tokenizer

from winnow import fields
from winnow.encoders import media, pixels, sounds
from winnow.encoders.inputs import AudioInput, EncoderInputs, ImageInput, TextInput
from winnow.encoders.preparation import Preparation
from winnow.encoders.tokens import END, PAD, START, tokenise, train_tokenizer
from winnow.errors import WinnowError

NOISE = Image.effect_noise((64, 64), 50)
TONE = np.sin(2 * np.pi * 440 * np.arange(3 * 16_000) / 16_000).astype(np.float32) / 2


def encoded(picture: Image.Image, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form)
    return buffer.getvalue()


def recorded(samples: NDArray[np.float32], rate: int, form: str = "WAV", subtype: str | None = None) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=form, subtype=subtype)
    return buffer.getvalue()


def test_pictures_are_cropped_resized_and_flattened_on_white() -> None:
    wide = Image.new("RGB", (90, 30), "blue")
    wide.paste("red", (30, 0, 60, 30))
    assert np.all(pixels.decode(encoded(wide), 16)[4:12, 4:12] == (255, 0, 0))
    assert np.all(pixels.decode(encoded(Image.new("RGBA", (20, 20), (0, 0, 0, 0))), 16) == 255)
    assert pixels.decode(encoded(Image.new("L", (300, 200), 7), "JPEG"), 64).shape == (64, 64, 3)


def test_sixteen_bit_greys_keep_their_shades() -> None:
    ramp = Image.fromarray(np.linspace(0, 65_535, 64, dtype=np.uint16)[None].repeat(64, axis=0))
    shades = pixels.decode(encoded(ramp), 64)[0, :, 0].astype(int)
    np.testing.assert_allclose(shades, np.linspace(0, 255, 64), atol=1.1)


@pytest.mark.parametrize("form", pixels.FORMATS)
@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
def test_truncated_pictures_are_refused(form: str, share: float) -> None:
    content = encoded(NOISE.convert("RGB"), form)
    assert pixels.decode(content, 32).shape == (32, 32, 3)
    with pytest.raises(media.BrokenMedia, match="not a readable image"):
        pixels.decode(content[: int(share * len(content))], 32)


@pytest.mark.parametrize("form", ["TIFF", "PPM", "ICO", "PDF", "EPS"])
def test_other_formats_are_refused_whatever_their_name(form: str) -> None:
    with pytest.raises(media.BrokenMedia, match="its format is unknown"):
        pixels.decode(encoded(NOISE, form), 32)


def test_empty_and_oversized_content_is_refused() -> None:
    for decode in (lambda content: pixels.decode(content, 32), lambda content: sounds.decode(content, 8_000, 8_000)):
        with pytest.raises(media.BrokenMedia, match="empty"):
            decode(b"")
        with pytest.raises(media.BrokenMedia, match=r"4,194,305 bytes are more than the 4,194,304"):
            decode(b"\xff\xd8" + bytes(fields.MAX_MEDIA_BYTES - 1))


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def test_a_decompression_bomb_is_refused_by_its_header() -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 5_001, 5_000, 8, 2, 0, 0, 0))
    content = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    with pytest.raises(media.BrokenMedia, match="5001 x 5000 pixels are more than the 25,000,000"):
        pixels.decode(content, 32)


def test_random_bytes_are_broken_media() -> None:
    random = np.random.default_rng(0)
    for form in pixels.FORMATS:
        whole = np.frombuffer(encoded(NOISE.convert("RGB"), form), np.uint8)
        for _ in range(40):
            content = whole.copy()
            places = random.integers(0, len(content) // 2, 12)
            content[places] = random.integers(0, 256, 12)
            try:
                assert pixels.decode(content.tobytes(), 16).shape == (16, 16, 3)
            except media.BrokenMedia:
                continue


@pytest.mark.parametrize(
    ("form", "subtype"),
    [
        ("WAV", "PCM_16"),
        ("WAV", "PCM_24"),
        ("WAV", "FLOAT"),
        ("FLAC", "PCM_16"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("MP3", None),
    ],
)
def test_sounds_are_resampled_to_the_same_tone(form: str, subtype: str | None) -> None:
    content = recorded(np.stack([TONE, TONE / 2], axis=1), 16_000, form, subtype)
    heard = sounds.decode(content, 8_000, 8_000)
    assert heard.dtype == np.float32
    assert heard.shape == (8_000,)
    spectrum = np.abs(np.fft.rfft(heard[2_000:6_000]))
    assert np.argmax(spectrum) * 8_000 / 4_000 == 440
    assert np.abs(heard[2_000:6_000]).max() == pytest.approx(0.375, abs=0.03)


def test_sounds_are_truncated_or_padded_with_silence() -> None:
    content = recorded(TONE[:8_000], 16_000, "WAV", "FLOAT")
    long = sounds.decode(content, 16_000, 12_000)
    np.testing.assert_array_equal(long[:8_000], TONE[:8_000])
    assert not long[8_000:].any()
    np.testing.assert_array_equal(sounds.decode(content, 16_000, 3_000), TONE[:3_000])
    assert np.abs(sounds.decode(recorded(4 * TONE, 16_000, "WAV", "FLOAT"), 8_000, 8_000)).max() == 1


@pytest.mark.parametrize(
    ("form", "subtype"), [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None)]
)
@pytest.mark.parametrize("share", [0.001, 0.3, 0.6, 0.98])
def test_truncated_sounds_are_refused(form: str, subtype: str | None, share: float) -> None:
    content = recorded(np.tile(TONE, 4), 16_000, form, subtype)
    with pytest.raises(media.BrokenMedia, match=r"truncated|not a readable sound|no frames"):
        sounds.decode(content[: int(share * len(content))], 8_000, 8_000)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"not a sound at all, but some text", "not a readable sound"),
        (recorded(TONE, 16_000, "AIFF"), "it is AIFF"),
        (recorded(TONE, 16_000, "AU"), "it is AU"),
        (recorded(TONE[:0], 16_000), "no frames"),
        (recorded(np.zeros(61 * 8_000, np.float32), 8_000, "FLAC"), "61 seconds are more than the 60"),
        (recorded(np.zeros(4_000, np.float32), 400), "400 samples per second"),
        (recorded(np.full(4_000, np.nan, np.float32), 8_000, "WAV", "FLOAT"), "not finite"),
        (recorded(np.zeros((32_000 * 55, 15), np.float32), 32_000, "WAV")[:4_000_000], "truncated"),
        (encoded(NOISE), "not a readable sound"),
    ],
    ids=["text", "aiff", "au", "no frames", "long", "slow", "nan", "wide", "picture"],
)
def test_unsupported_sounds_are_refused_with_a_reason(content: bytes, reason: str) -> None:
    with pytest.raises(media.BrokenMedia, match=reason):
        sounds.decode(content, 8_000, 8_000)


def test_many_channels_of_silence_are_refused_by_the_header() -> None:
    silence = recorded(np.zeros((59 * 96_000, 8), np.float32), 96_000, "FLAC", "PCM_16")
    assert len(silence) < fields.MAX_MEDIA_BYTES
    with pytest.raises(media.BrokenMedia, match=r"of 8 channels are more than the 25,000,000 samples"):
        sounds.decode(silence, 8_000, 8_000)


def test_a_corrupted_sound_is_broken_media() -> None:
    random = np.random.default_rng(0)
    for form in sounds.FORMATS:
        whole = np.frombuffer(recorded(TONE, 16_000, form), np.uint8)
        for _ in range(25):
            content = whole.copy()
            places = random.integers(0, len(content) // 4, 8)
            content[places] = random.integers(0, 256, 8)
            try:
                heard = sounds.decode(content.tobytes(), 8_000, 8_000)
                assert np.isfinite(heard).all()
            except media.BrokenMedia:
                continue


def test_one_preparation_for_all_modalities(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(["red shoes"], vocabulary=280, context_length=8)
    inputs = EncoderInputs(
        audio=AudioInput(dimension=4, rate=8_000, samples=800),
        image=ImageInput(dimension=4, size=16),
        text=TextInput(dimension=4, context_length=8),
    )
    (tmp_path / "encoders.json").write_text(inputs.model_dump_json())
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    preparation = Preparation.load(tmp_path)
    assert preparation.inputs == inputs
    content: dict[str, bytes | str] = {"audio": recorded(TONE, 16_000), "image": encoded(NOISE), "text": "Red shoes"}
    shapes = {"audio": (800,), "image": (16, 16, 3), "text": (8,)}
    for modality in shapes:
        prepared = preparation.prepare(modality, content[modality])
        assert prepared.shape == shapes[modality]
        raw = content[modality]
        place = raw if isinstance(raw, str) else str(tmp_path / modality)
        if isinstance(raw, bytes):
            Path(place).write_bytes(raw)
        several, problems = preparation.prepare_items(modality, [place, place])
        np.testing.assert_array_equal(several, np.stack([prepared, prepared]))
        assert problems == [None, None]
    (tmp_path / "cut").write_bytes(encoded(NOISE)[:200])
    several, problems = preparation.prepare_items("image", [str(tmp_path / "cut"), str(tmp_path / "gone")])
    assert several.shape == (0, 16, 16, 3)
    assert [str(problem).partition(": ")[2][:10] for problem in problems] == ["not a read", "No such fi"]


def test_a_mismatch_of_inputs_is_named(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(["red shoes"], vocabulary=280, context_length=8)
    text = EncoderInputs(text=TextInput(dimension=4, context_length=9))
    with pytest.raises(WinnowError, match="no tokenizer"):
        Preparation(text, None)
    with pytest.raises(WinnowError, match=r"returns 8 ids, but text\.context_length in encoders\.json is 9"):
        Preparation(text, tokenizer)
    with pytest.raises(WinnowError, match="there is no audio encoder"):
        Preparation(EncoderInputs(), None).prepare("audio", b"RIFF")
    with pytest.raises(WinnowError, match=r"no encoders\.json in"):
        Preparation.load(tmp_path)


def test_absent_and_oversized_files_are_broken_media(tmp_path: Path) -> None:
    with pytest.raises(media.BrokenMedia, match=r"gone\.png: No such file"):
        media.read(str(tmp_path / "gone.png"))
    with (tmp_path / "large.wav").open("wb") as file:
        file.truncate(fields.MAX_MEDIA_BYTES + 1)
    with pytest.raises(media.BrokenMedia, match=r"large\.wav: 4,194,305 bytes"):
        media.read(str(tmp_path / "large.wav"))


def test_the_tokenizer_file_holds_the_whole_tokenizer(tmp_path: Path) -> None:
    texts = ["Red shoes for running", "Blue shoes for walking", "A red hat"]
    tokenizer = train_tokenizer(texts, vocabulary=300, context_length=12)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    loaded = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    hard = ["RED SHOES", "", "Füße 👟 靴", "red " * 50]
    ids = tokenise(loaded, hard)
    assert ids.dtype == np.int64
    assert ids.shape == (4, 12)
    np.testing.assert_array_equal(ids, tokenise(tokenizer, hard))
    assert np.all(ids[:, 0] == START)
    assert np.all((ids == END).sum(axis=1) == 1)
    np.testing.assert_array_equal(ids[1], [START, END] + [PAD] * 10)
    assert ids[3, -1] == END
    assert tokenizer.decode(list(tokenise(tokenizer, ["Blue HAT"])[0])).strip() == "blue hat"


def test_preparing_content_needs_no_torch() -> None:
    code = (
        "import sys, winnow.encoders.media, winnow.encoders.preparation, winnow.signatures\n"
        "assert not {'torch', 'pandas', 'pyarrow', 'open_clip', 'scipy', 'onnxruntime'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
