"""Raw content to model input, without torch."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tokenizers import Tokenizer

from winnow.encoders import media, pixels
from winnow.encoders.tokens import END, PAD, START, tokenise, train_tokenizer


def encoded(picture: Image.Image, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form)
    return buffer.getvalue()


def test_pictures_are_cropped_resized_and_flattened_on_white() -> None:
    wide = Image.new("RGB", (90, 30), "blue")
    wide.paste("red", (30, 0, 60, 30))
    assert np.all(pixels.decode(encoded(wide), 16)[4:12, 4:12] == (255, 0, 0))
    assert np.all(pixels.decode(encoded(Image.new("RGBA", (20, 20), (0, 0, 0, 0))), 16) == 255)
    assert pixels.decode(encoded(Image.new("L", (300, 200), 7), "JPEG"), 64).shape == (64, 64, 3)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a picture",
        encoded(Image.effect_noise((64, 64), 50))[:900],
        encoded(Image.effect_noise((64, 64), 50), "JPEG")[:600],
    ],
    ids=["empty", "text", "cut png", "cut jpeg"],
)
def test_broken_pictures_say_so(content: bytes) -> None:
    with pytest.raises(media.BrokenMedia, match="not a readable picture"):
        pixels.decode(content, 32)


def test_decompression_bombs_are_refused() -> None:
    with pytest.raises(media.BrokenMedia, match=r"too many to decode|not a readable picture"):
        pixels.decode(encoded(Image.new("1", (20_000, 20_000))), 32)


def test_absent_files_are_broken_media(tmp_path: Path) -> None:
    with pytest.raises(media.BrokenMedia, match=r"gone\.png: No such file"):
        media.read(str(tmp_path / "gone.png"))


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
        "import sys, winnow.encoders.media, winnow.encoders.pixels, winnow.encoders.tokens, winnow.signatures\n"
        "assert not {'torch', 'pandas', 'pyarrow', 'open_clip'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
