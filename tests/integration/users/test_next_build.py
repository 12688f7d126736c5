"""The next build after an erasure has no byte of the person, although the shop's own tables still do."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.users.traces import in_files, packed_items
from winnow import home
from winnow.erasures.digest import digest, key_id
from winnow.feedback.export_files import USER_CHANGE_SCHEMA
from winnow.local.build import build_release
from winnow.release import BuildInputs, Release

GONE, NOW = "person-to-forget", 1_700_000_000_000
HISTORY = [7, 1, 6, 2, 5, 3]


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_no_file_of_the_next_release_has_the_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WINNOW_HOME", str(tmp_path / "home"))
    shop, random = tmp_path / "shop", np.random.default_rng(0)
    (shop / "user_changes").mkdir(parents=True)
    (shop / "dataset.yaml").write_text("name: shop\nevents: {view: 1}\nusers: {categorical: [country]}\n")
    (shop / "items.csv").write_text("\n".join(["item_id", *(f"i{item}" for item in range(8))]))
    users = [GONE, *(f"customer-{user}" for user in range(30))]
    (shop / "users.csv").write_text("\n".join(["user_id,country", *(f"{user},pt" for user in users)]))
    events = [f"{GONE},i{item},view,{NOW + step}" for step, item in enumerate(HISTORY)]
    for user in users[1:]:
        events += [f"{user},i{random.integers(0, 8)},view,{NOW + step * 60_000}" for step in range(4)]
    (shop / "events.csv").write_text("\n".join(["user_id,item_id,event,timestamp", *events]))
    entry = dict.fromkeys(USER_CHANGE_SCHEMA.names) | {"action": "erase", "digest": digest(GONE), "key": key_id()}
    entry |= {"stream_id": f"{NOW + 10**9}-0"}
    pq.write_table(pa.Table.from_pylist([entry], USER_CHANGE_SCHEMA), shop / "user_changes" / "1-0.parquet")

    number = build_release(BuildInputs(data=str(shop)), "none")
    release = Release.open(home.releases() / str(number))
    assert release.manifest.user_changes == f"{NOW + 10**9}-0"
    assert len(release.array("user_ids")) == 30
    # Items are indices from 1 on.
    history = packed_items(item + 1 for item in HISTORY)
    assert in_files(tmp_path / "home", [GONE.encode(), *history]) == []
    assert in_files(home.releases(), [b"customer-7"])
