"""The smallest catalogs, of ids only, are built and served."""

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx

from winnow.ports import Ports
from winnow.release import Release

FORMS = [
    ({"items": []}, "abcde"),
    ({"items": [{"item_id": "a"}, {"item_id": "b"}]}, "cde"),
    ({"user_id": "u0", "items": [{"item_id": "e"}]}, "cd"),
    ({"like": "a"}, "bcde"),
    ({"like": "e", "user_id": "u0"}, "cd"),
    ({"like": "a", "relation": "complementary"}, "bcde"),
    ({"rank": ["e", "a", "gone"]}, "ae"),
    ({"rank": ["e", "a", "c"], "user_id": "u0", "repeats": "hide"}, "ce"),
    ({"list": "popular", "k": 500}, "abcde"),
    ({"list": "trending"}, "abcde"),
    ({"list": "new"}, "abcde"),
    ({"list": "last_seen", "user_id": "u0"}, "ab"),
    ({"list": "last_seen", "user_id": "someone-new"}, ""),
]
"""Requests of each form, and the items of their answers."""


def winnow(home: Path, *arguments: str) -> str:
    """The output of ``winnow`` in a home of its own."""
    outside = {name: value for name, value in os.environ.items() if name not in ("REDIS_URL", "TRITON_URL")}
    command = [Path(sys.executable).with_name("winnow"), *arguments]
    done = subprocess.run(
        command, env=outside | {"WINNOW_HOME": str(home)}, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_catalog_of_five_ids_is_built_and_served(tmp_path: Path, free_ports: int) -> None:
    home, data = tmp_path / "home", tmp_path / "shop"
    data.mkdir()
    (data / "dataset.yaml").write_text("name: shop\nevents: {view: 1}\n")
    (data / "items.csv").write_text("item_id\n" + "\n".join("abcde"))
    events = [f"u{user},{item},view,1700000000000" for user in range(6) for item in ("ab", "bc", "cd")[user % 3]]
    (data / "events.csv").write_text(
        "user_id,item_id,event,timestamp\n" + "\n".join([*events, "v,e,view,1700000000000"])
    )
    winnow(home, "build", f"--data={data}")
    manifest = Release.open(home / "releases" / "1").manifest
    assert manifest.unranked
    assert sorted(manifest.models) == ["item_tower", "ranker", "retriever"]

    ports = Ports.at(free_ports)
    winnow(home, "up", "--detach", f"--port-base={free_ports}")
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{ports.http}", trust_env=False, timeout=30) as http:
            for user, unmet in (("u0", {"c", "d", "e"}), ("v", {"a", "b", "c", "d"}), ("someone-new", set("abcde"))):
                body = {"instances": [{"user_id": user, "k": 5, "deadline_ms": 5000}]}
                answered = http.post("/v1/models/recommender:predict", json=body)
                assert answered.status_code == 200, answered.text
                [answer] = answered.json()["predictions"]
                assert {item["item_id"] for item in answer["items"]} == unmet
                assert answer["degraded"] == []
            for asked, expected in FORMS:
                body = {"instances": [asked | {"deadline_ms": 5000}]}
                answered = http.post("/v1/models/recommender:predict", json=body)
                assert answered.status_code == 200, answered.text
                [answer] = answered.json()["predictions"]
                assert ({item["item_id"] for item in answer["items"]}, answer["degraded"]) == (set(expected), [])
    finally:
        winnow(home, "down")


def test_where_repeats_are_allowed_every_list_has_seen_items(tmp_path: Path) -> None:
    home, data = tmp_path / "home", tmp_path / "menu"
    data.mkdir()
    (data / "dataset.yaml").write_text("name: menu\nevents: {order: 1}\nrepeats: allow\n")
    (data / "items.csv").write_text("item_id\n" + "\n".join("abcde"))
    orders = [
        f"u{user},{item},order,{1_700_000_000_000 + moment}"
        for user, own in enumerate(["abaa", "bcbb", "cdcc"])
        for moment, item in enumerate(own)
    ]
    (data / "events.csv").write_text("user_id,item_id,event,timestamp\n" + "\n".join(orders))
    winnow(home, "build", f"--data={data}", "--holdout=last")
    report = json.loads(winnow(home, "evaluate", "--objective=order", "--json"))
    assert report["users"] == 3
    # Each user's last order is of a seen item, and every list has the whole catalog.
    for recommender, metrics in report["metrics"].items():
        assert (recommender, metrics["recall@10"]) == (recommender, 1.0)
    assert report["metrics"]["most_taken"]["ndcg@10"] == 1.0
