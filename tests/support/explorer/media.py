"""Pictures and sounds of the tiny release's items: good ones, broken ones, and ones outside the data set's folder."""

import json
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from tests.support.tiny_release import ITEMS
from winnow.arrays.strings import Strings
from winnow.fields import MAX_MEDIA_BYTES

HIDDEN = b"a file of this machine that is no picture of an item"

GOOD = {1: "image/png", 2: "image/jpeg", 3: "image/webp"}
"""Item -> type of its picture."""

REFUSED = {
    4: "a text with the name of a picture",
    5: "a page with the name of a picture",
    6: "a path out of the folder",
    7: "a link out of the folder",
    8: "an absolute path",
    9: "more bytes than are allowed",
    10: "no file",
    11: "an SVG",
    12: "no bytes",
    13: "a folder",
}
"""Item -> what its picture is, which is not shown."""


def write_media(folder: Path, outside: Path) -> tuple[dict[str, Strings], dict[str, str]]:
    """Write the files.

    Args:
        folder: of the data set.
        outside: a folder of something else, with a picture.

    Returns:
        Further arrays and documents of the release: items 1..3 have pictures, item 1 a sound, and item 2 a sound that
        is a picture.
    """
    folder.mkdir()
    random = np.random.default_rng(0)
    for item, kind in GOOD.items():
        picture = Image.fromarray(random.integers(0, 256, (64, 64, 3), np.uint8))
        picture.save(folder / f"{item}.{kind.split('/')[1]}")
    Image.new("RGB", (8, 8)).save(outside / "private.png")
    (folder / "4.png").write_bytes(HIDDEN)
    (folder / "5.png").write_text("<!doctype html><script>alert(1)</script>")
    (folder / "7.png").symlink_to(outside / "private.png")
    with (folder / "9.png").open("wb") as large:
        large.write((folder / "1.png").read_bytes())
        large.truncate(MAX_MEDIA_BYTES + 1)
    (folder / "11.png").write_text('<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>')
    (folder / "12.png").touch()
    (folder / "13.png").mkdir()
    soundfile.write(folder / "1.wav", np.zeros(800, np.float32), 8000)
    images = [""] * (ITEMS + 1)
    for item in (*GOOD, *REFUSED):
        images[item] = f"{item}.{GOOD.get(item, 'image/png').split('/')[1]}"
    images[6] = f"../{outside.name}/private.png"
    images[8] = str(outside / "private.png")
    sounds = [""] * (ITEMS + 1)
    sounds[1], sounds[2] = "1.wav", "2.jpeg"
    arrays = {"item_images": Strings.of(images), "item_sounds": Strings.of(sounds)}
    return arrays, {"media.json": json.dumps({"folder": folder.name})}
