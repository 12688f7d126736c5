"""Images of the items: shape by category, pattern by style, surface by material, and the colour."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from tqdm import tqdm

from winnow.datasets.marketplace.attributes import CATEGORY_NAMES, COLOUR_NAMES, COLOURS, MATERIAL_NAMES, STYLE_NAMES
from winnow.datasets.marketplace.catalog import Catalog

SIDE = 96
_FINE = 2 * SIDE

Part = tuple[str, tuple[float, ...]]

_SHAPES: dict[str, tuple[Part, ...]] = {
    "lamp": (
        ("polygon", (0.36, 0.12, 0.64, 0.12, 0.8, 0.5, 0.2, 0.5)),
        ("box", (0.47, 0.5, 0.53, 0.82)),
        ("ellipse", (0.32, 0.78, 0.68, 0.9)),
    ),
    "chair": (
        ("box", (0.28, 0.1, 0.38, 0.9)),
        ("box", (0.28, 0.12, 0.46, 0.5)),
        ("box", (0.28, 0.5, 0.74, 0.62)),
        ("box", (0.64, 0.6, 0.74, 0.9)),
    ),
    "table": (
        ("box", (0.08, 0.34, 0.92, 0.48)),
        ("polygon", (0.16, 0.48, 0.26, 0.48, 0.22, 0.86, 0.14, 0.86)),
        ("polygon", (0.74, 0.48, 0.84, 0.48, 0.86, 0.86, 0.78, 0.86)),
    ),
    "vase": (
        ("polygon", (0.36, 0.1, 0.64, 0.1, 0.56, 0.32, 0.44, 0.32)),
        ("ellipse", (0.24, 0.28, 0.76, 0.9)),
    ),
    "shirt": (
        ("box", (0.3, 0.2, 0.7, 0.86)),
        ("polygon", (0.3, 0.2, 0.08, 0.42, 0.2, 0.54, 0.34, 0.4)),
        ("polygon", (0.7, 0.2, 0.92, 0.42, 0.8, 0.54, 0.66, 0.4)),
    ),
    "trousers": (
        ("box", (0.3, 0.1, 0.7, 0.3)),
        ("polygon", (0.3, 0.3, 0.5, 0.3, 0.42, 0.92, 0.26, 0.92)),
        ("polygon", (0.5, 0.3, 0.7, 0.3, 0.74, 0.92, 0.58, 0.92)),
    ),
    "boots": (
        ("box", (0.3, 0.12, 0.54, 0.74)),
        ("ellipse", (0.3, 0.56, 0.86, 0.88)),
        ("box", (0.3, 0.78, 0.86, 0.9)),
    ),
    "hat": (
        ("ellipse", (0.04, 0.56, 0.96, 0.82)),
        ("ellipse", (0.26, 0.22, 0.74, 0.84)),
    ),
    "drum": (
        ("box", (0.16, 0.34, 0.84, 0.74)),
        ("ellipse", (0.16, 0.2, 0.84, 0.48)),
        ("ellipse", (0.16, 0.6, 0.84, 0.88)),
    ),
    "guitar": (
        ("ellipse", (0.24, 0.56, 0.76, 0.96)),
        ("ellipse", (0.31, 0.38, 0.69, 0.68)),
        ("box", (0.46, 0.04, 0.54, 0.5)),
        ("box", (0.42, 0.02, 0.58, 0.12)),
    ),
    "speaker": (("box", (0.26, 0.08, 0.74, 0.92)),),
    "headphones": (
        ("arc", (0.16, 0.14, 0.84, 0.86)),
        ("box", (0.1, 0.48, 0.28, 0.82)),
        ("box", (0.72, 0.48, 0.9, 0.82)),
    ),
}
_HOLES: dict[str, tuple[Part, ...]] = {
    "speaker": (("ellipse", (0.4, 0.16, 0.6, 0.34)), ("ellipse", (0.34, 0.48, 0.66, 0.8))),
    "guitar": (("ellipse", (0.43, 0.6, 0.57, 0.73)),),
}
"""Parts that are cut out of a shape."""


def draw_pictures(catalog: Catalog, folder: Path, rng: np.random.Generator, show_progress: bool) -> list[str]:
    """Draw all items as PNG files; returns the file names."""
    folder.mkdir(parents=True)
    names = [f"{number:06d}.png" for number in range(len(catalog))]
    pose = rng.standard_normal((len(catalog), 5), dtype=np.float32)
    kinds = zip(catalog.category, catalog.style, catalog.colour, catalog.material, strict=True)
    drawn = zip(names, kinds, pose, strict=True)
    for name, kind, how in tqdm(drawn, total=len(names), desc="pictures", disable=not show_progress):
        _picture(*kind, how).save(folder / name, compress_level=1)
    return names


def _picture(category: int, style: int, colour: int, material: int, pose: NDArray[np.float32]) -> Image.Image:
    rgb = np.array(COLOURS[COLOUR_NAMES[colour]][0], dtype=np.float32) + 12 * pose[3]
    mask = np.asarray(_mask(CATEGORY_NAMES[category], pose), dtype=np.float32)[..., None] / 255
    surface = _surface(STYLE_NAMES[style], rgb, pose[4]) + _SHINE[MATERIAL_NAMES[material]][..., None]
    background = 236 + 8 * pose[2]
    return Image.fromarray(np.clip(background + (surface - background) * mask, 0, 255).astype(np.uint8))


def _mask(category: str, pose: NDArray[np.float32]) -> Image.Image:
    """The mask of a shape, drawn at twice the size and reduced, which smooths its edges."""
    size = np.clip(0.86 + 0.06 * pose[0], 0.66, 1.0)
    shift = np.clip(0.5 + 0.03 * pose[1:3], 0.42, 0.58)
    mask = Image.new("L", (_FINE, _FINE), 0)
    brush = ImageDraw.Draw(mask)
    for ink, parts in ((255, _SHAPES[category]), (0, _HOLES.get(category, ()))):
        for shape, corners in parts:
            points = ((np.reshape(corners, (-1, 2)) - 0.5) * size + shift) * _FINE
            flat = [float(number) for number in points.ravel()]
            if shape == "polygon":
                brush.polygon(flat, fill=ink)
            elif shape == "ellipse":
                brush.ellipse(flat, fill=ink)
            elif shape == "box":
                brush.rectangle(flat, fill=ink)
            else:
                brush.arc(flat, 180, 360, fill=ink, width=int(0.08 * _FINE))
    return mask.reduce(2)


_Y, _X = (np.mgrid[0:SIDE, 0:SIDE] / SIDE).astype(np.float32)
_SHINE: dict[str, NDArray[np.float32]] = {
    "wood": 14 * np.sin(_X * 70 + 3 * np.sin(_Y * 9)),
    "metal": 60 * np.exp(-(((_X - _Y) / 0.08) ** 2)) - 12,
    "glass": 55 * (1 - _Y) - 10,
    "fabric": 16 * np.sign(np.sin(_X * 130) * np.sin(_Y * 130)),
}
"""Light and shade of each material."""


def _surface(style: str, rgb: NDArray[np.float32], phase: np.float32) -> NDArray[np.float32]:
    """A surface in the colour, with the style's pattern in a lighter tone."""
    if style == "minimal":
        return np.broadcast_to(rgb, (SIDE, SIDE, 3))
    x, y = _X + 0.02 * phase, _Y + 0.03 * phase
    if style == "nautical":
        lit = (y * 9) % 1 < 0.45
    elif style == "playful":
        lit = ((x * 8) % 1 - 0.5) ** 2 + ((y * 8) % 1 - 0.5) ** 2 < 0.09
    elif style == "rustic":
        lit = ((x * 7) % 1 < 0.5) ^ ((y * 7) % 1 < 0.5)
    elif style == "sporty":
        lit = ((x + y) * 6) % 1 < 0.4
    else:
        lit = (np.hypot(x - 0.5, y - 0.5) * 11) % 1 < 0.45
    light = rgb + 0.72 * (255 - rgb)
    return np.where(lit[..., None], light, rgb)
