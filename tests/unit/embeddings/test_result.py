"""The console's line about each modality of a catalog."""

from pathlib import Path

import numpy as np

from winnow.embeddings.result import Extraction, summary
from winnow.encoders.catalog import Contents


def test_pictures_without_an_encoder_are_reported_with_their_problems(tmp_path: Path) -> None:
    missing = [str(tmp_path / f"{item}.png") for item in range(5)]
    contents = Contents([f"i{item}" for item in range(6)], ["Lamp", *[""] * 5], [*missing, ""], [""] * 6)
    vectors = {"text": np.zeros((6, 2), np.float32)}
    digests: list[str | None] = ["d", *[None] * 5]
    audio, image, text = summary(Extraction(vectors, {"text": digests}, {"text": [None] * 6}, {"text": 1}), contents)
    assert audio == "audio: no item has one"
    reasons = "; ".join(f"{place}: No such file or directory" for place in missing[:3])
    assert image == f"image: 5 of 6 items have one, and none is used: there is no image encoder: {reasons}"
    assert text == "text: 1 of 6 items have one"


def test_broken_content_is_counted_with_three_reasons() -> None:
    contents = Contents(["a"] * 1000, [""] * 1000, [""] * 1000, ["x.wav"] * 1000)
    problems: list[str | None] = [*(f"x.wav: reason {item}" for item in range(999)), None]
    vectors = {"audio": np.zeros((1000, 2), np.float32)}
    line = summary(Extraction(vectors, {"audio": ["d"] * 1000}, {"audio": problems}, {"audio": 1}), contents)[0]
    assert line == (
        "audio: 1,000 of 1,000 items have one; 999 cannot be used: x.wav: reason 0; x.wav: reason 1; x.wav: reason 2"
    )
