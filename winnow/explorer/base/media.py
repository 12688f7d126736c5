"""Pictures and sounds of items, from the folder of the data set that a release was built from.

The release names them (``item_images``, ``item_sounds``) relative to the folder in ``media.json``. Nothing outside this
folder is read, whatever a path says or a link points to, and the type of a file is what its content says.
"""

import io
import json
import os
import warnings
from pathlib import Path

import soundfile
from PIL import Image, UnidentifiedImageError

from winnow.arrays.strings import OFFSETS, Strings
from winnow.fields import MAX_MEDIA_BYTES
from winnow.items.media import ARRAYS, MEDIA, Kind
from winnow.release import Release

_PICTURES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "BMP": "image/bmp",
}
_SOUNDS = {"WAV": "audio/wav", "WAVEX": "audio/wav", "FLAC": "audio/flac", "OGG": "audio/ogg", "MP3": "audio/mpeg"}


class Media:
    """The files of a release's items.

    Args:
        release: the release.
        home: WINNOW_HOME.
    """

    def __init__(self, release: Release, home: Path) -> None:
        self._folder: Path | None = None
        self._paths: dict[Kind, Strings] = {}
        if MEDIA not in release.manifest.files:
            return
        self._folder = (home / str(json.loads((release.folder / MEDIA).read_bytes())["folder"])).resolve()
        for kind, name in ARRAYS.items():
            if f"{name}{OFFSETS}.npy" in release.manifest.files:
                self._paths[kind] = release.strings(name)

    def names(self, kind: Kind, index: int) -> bool:
        """Whether there is a file that the release names, by one look at the disk; :meth:`file` checks where it is."""
        named = self._named(kind, index)
        return named is not None and os.path.isfile(named)

    def file(self, kind: Kind, index: int) -> Path | None:
        """The file of an item's picture or sound; ``None`` where there is none inside the folder."""
        named = self._named(kind, index)
        if self._folder is None or named is None:
            return None
        path = Path(named).resolve()
        return path if path.is_relative_to(self._folder) and path.is_file() else None

    def _named(self, kind: Kind, index: int) -> str | None:
        """The path that the release has, wherever it leads; ``None`` for none.

        A page asks for up to 1,000 of these: paths as objects would take it ten times as long.
        """
        if self._folder is None or kind not in self._paths or not self._paths[kind][index]:
            return None
        return os.path.join(self._folder, self._paths[kind][index])


def content_of(path: Path) -> bytes | None:
    """The bytes of a file of at most ``MAX_MEDIA_BYTES``; ``None`` for a larger, an empty or an unreadable one."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_MEDIA_BYTES + 1)
    except OSError:
        return None
    return content if 0 < len(content) <= MAX_MEDIA_BYTES else None


def type_of(kind: Kind, content: bytes) -> str | None:
    """The media type by the header of the content; ``None`` where it is no picture, or no sound, that browsers show."""
    if kind == "sound":
        try:
            with soundfile.SoundFile(io.BytesIO(content)) as sound:
                return _SOUNDS.get(sound.format)
        except (soundfile.LibsndfileError, RuntimeError):
            return None
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(content), formats=tuple(_PICTURES)) as it:
            return _PICTURES.get(it.format or "")
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError):
        return None
