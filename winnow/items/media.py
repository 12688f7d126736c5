"""Where a release records the pictures and sounds of its items: a build writes it, and the explorer reads it."""

from typing import Literal

Kind = Literal["image", "sound"]

MEDIA = "media.json"
"""The release's file with ``folder``, in which the paths are: absolute, or relative to WINNOW_HOME."""

ARRAYS: dict[Kind, str] = {"image": "item_images", "sound": "item_sounds"}
"""The array with n + 1 paths in the folder, by item index, empty for none."""
