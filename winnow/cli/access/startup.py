"""Checks of ``winnow up --access`` before anything starts."""

import os
from pathlib import Path
from time import time

from winnow.errors import WinnowError
from winnow.protocols import KEY
from winnow.settings.access import digest_of, read


def check(path: Path) -> None:
    """Check that the file is right, and that the stack may ask for recommendations.

    A stack is ready when a recommendation is whole, so its own requests need a key as well.

    Raises:
        SettingsError: the file is wrong.
        WinnowError: recommendations need a key, and the environment has none that the file knows.
    """
    file = read(path)
    key = os.environ.get(KEY, "").strip().encode()
    if not key:
        if "recommend" in file.open:
            return
        raise WinnowError(
            f"{path}: recommendations need a key, and the stack asks for one to see that it is ready: set {KEY} to a "
            "key with the scope recommend, or open that scope (open: [recommend])"
        )
    if file.jwt is not None and key.count(b".") == 2:
        return
    digest = digest_of(key)
    found = next((entry for entry in file.keys if entry.digest == digest), None)
    if found is None or time() >= found.expires_at or "recommend" not in found.scopes:
        raise WinnowError(
            f"{path}: the key in {KEY} must be one of the file, with the scope recommend, that has not expired"
        )
