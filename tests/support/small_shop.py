"""The smallest data set that trains: eight items, thirty users, and no columns but ids."""

from pathlib import Path

import numpy as np


def small_shop(folder: Path) -> Path:
    """Write the data set into a new folder; returns the folder."""
    folder.mkdir()
    (folder / "dataset.yaml").write_text("name: shop\nevents: {view: 1}\n")
    (folder / "items.csv").write_text("\n".join(["item_id", *(f"i{item}" for item in range(8))]))
    rng = np.random.default_rng(0)
    events = [
        f"u{user},i{(first + step) % 8},view,{1_700_000_000_000 + user * 10_000 + step * 60_000}"
        for user, first in enumerate(rng.integers(0, 8, 30))
        for step in range(4)
    ]
    (folder / "events.csv").write_text("\n".join(["user_id,item_id,event,timestamp", *events]))
    return folder
