"""What a build records for the explorer: the order of users, and where media of items are in the data set's folder."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from export.explored import explored_arrays
from winnow.datasets.marketplace import MarketplaceSize, folder_of, generate
from winnow.release import BuildInputs


def table(images: list[str | None], sounds: list[str | None]) -> pa.Table:
    return pa.table({"image": pa.array(images, pa.string()), "audio": pa.array(sounds, pa.string())})


def test_users_are_in_the_order_of_their_ids() -> None:
    users = np.array(["u10", "ü", "u9", "", "U1"])
    arrays, _ = explored_arrays(table([], []), users, BuildInputs(data="s3://shop/data"), Path("/home"))
    assert users[arrays["user_order"]].tolist() == sorted(users.tolist())


def test_paths_are_relative_to_the_folder_and_others_are_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    images = [str(folder / "images" / "1.png"), None, "s3://shop/2.png", str(tmp_path / "shop-2" / "3.png")]
    arrays, documents = explored_arrays(
        table(images, [None] * 4), np.array(["u"]), BuildInputs(data=str(folder)), tmp_path / "home"
    )
    assert arrays["item_images"].tolist() == ["", "images/1.png", "", "", ""]
    assert arrays["item_sounds"].tolist() == [""] * 5
    assert json.loads(documents["media.json"]) == {"folder": str(folder)}


@pytest.mark.parametrize("data", ["s3://shop/data", "/shop"])
def test_data_without_media_of_this_machine_has_no_paths(data: str) -> None:
    arrays, documents = explored_arrays(
        table(["s3://shop/1.png"], [None]), np.array(["u"]), BuildInputs(data=data), Path("/home")
    )
    assert set(arrays) == {"user_order"}
    assert documents == {}


def test_the_marketplace_moves_with_its_home(tmp_path: Path) -> None:
    source, size = BuildInputs(items=50, users=50, events=1000), MarketplaceSize(50, 50, 1000)
    folder = folder_of(tmp_path / "marketplace", size)
    folder.parent.mkdir()
    generate(folder, size)
    images = [str(path) for path in sorted((folder / "images").iterdir())]
    arrays, documents = explored_arrays(table(images, [None] * 50), np.array(["u"]), source, tmp_path)
    moved = Path("elsewhere") / json.loads(documents["media.json"])["folder"]
    assert moved == Path("elsewhere/marketplace") / folder.name
    assert all((folder / path).is_file() for path in arrays["item_images"].tolist()[1:])
