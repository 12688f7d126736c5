"""A release whose items are in Milvus: built, published to the Milvus Lite that `winnow up` starts, served, removed."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx

from winnow.local import milvus as local_milvus
from winnow.milvus.collection import collection_name
from winnow.milvus.connection import connect
from winnow.ports import Ports
from winnow.release import Release


def winnow(home: Path, *arguments: str) -> str:
    """The output of ``winnow`` in a home of its own."""
    left_out = ("REDIS_URL", "TRITON_URL", "MILVUS_URL")
    outside = {name: value for name, value in os.environ.items() if name not in left_out}
    command = [Path(sys.executable).with_name("winnow"), *arguments]
    done = subprocess.run(
        command, env=outside | {"WINNOW_HOME": str(home)}, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def recommended(ports: Ports, user: str) -> dict[str, set[str]]:
    """The items of an answer and the sources that named each."""
    with httpx.Client(base_url=f"http://127.0.0.1:{ports.http}", trust_env=False, timeout=30) as http:
        body = {"instances": [{"user_id": user, "k": 5, "deadline_ms": 5000}]}
        [answer] = http.post("/v1/models/recommender:predict", json=body).raise_for_status().json()["predictions"]
        assert answer["degraded"] == []
        return {item["item_id"]: set(item["sources"]) for item in answer["items"]}


def test_a_catalog_of_five_ids_is_searched_in_milvus(tmp_path: Path, free_ports: int) -> None:
    home, data, training = tmp_path / "home", tmp_path / "shop", tmp_path / "training.yaml"
    data.mkdir()
    training.write_text("index: {kind: milvus}\n")
    (data / "dataset.yaml").write_text("name: shop\nevents: {view: 1}\n")
    (data / "items.csv").write_text("item_id\n" + "\n".join("abcde"))
    events = [f"u{user},{item},view,1700000000000" for user in range(6) for item in ("ab", "bc", "cd")[user % 3]]
    (data / "events.csv").write_text("user_id,item_id,event,timestamp\n" + "\n".join(events))
    for _ in range(2):
        winnow(home, "build", f"--data={data}", f"--training={training}")
    first, second = (Release.open(home / "releases" / str(number)) for number in (1, 2))
    assert sorted(first.manifest.models) == ["item_tower", "ranker", "user_tower"]

    ports, gone = Ports.at(free_ports), collection_name(first)
    log = home / "run" / "logs" / "milvus.log"
    for number in (1, 2):
        winnow(home, "up", "--detach", f"--release={number}", f"--port-base={free_ports}")
        try:
            sources = recommended(ports, "u0")
            assert set(sources) == {"c", "d", "e"}
            assert any("retriever" in named for named in sources.values())
            assert re.search(rf"listening on 127.0.0.1:{ports.milvus}", log.read_text())
        finally:
            winnow(home, "down")
    shutil.rmtree(first.folder)
    winnow(home, "up", "--detach", f"--port-base={free_ports}")
    try:
        with connect(local_milvus.url(ports.milvus)) as client:
            assert client.list_collections() == [collection_name(second)] != [gone]
    finally:
        winnow(home, "down")
