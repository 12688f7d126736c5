"""Queries by content, and items added after the release, on the running stack."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.support.until import until

ActiveUsers = Callable[[int], list[str]]


@pytest.fixture(scope="module")
def catalog(winnow) -> dict[str, dict[str, Any]]:
    """The demo marketplace's items by id, their pictures and sounds by absolute path."""
    [file] = (winnow.home / "marketplace").glob("*/items.parquet")
    items = pq.read_table(file).to_pylist()
    for item in items:
        for name in ("image", "audio"):
            item[name] = item[name] and str(file.parent / item[name])
    return {item["item_id"]: item for item in items}


def found(served, **request: Any) -> list[dict[str, Any]]:
    response = served.http.post(
        "/v1/models/recommender:predict", json={"instances": [{"deadline_ms": 5000, **request}]}
    )
    assert response.status_code == 200, response.text
    [answer] = response.json()["predictions"]
    assert answer["degraded"] == []
    return answer["items"]


def ids(served, **request: Any) -> list[str]:
    return [item["item_id"] for item in found(served, **request)]


def itself(item: dict[str, Any]) -> dict[str, Any]:
    """The query by an item's own words and picture."""
    words = {"text": f"{item['title']}. {item['category']}. {item['description']}"}
    return words | {"image": {"b64": base64.b64encode(Path(item["image"]).read_bytes()).decode()}}


def test_a_picture_finds_items_of_its_category(each, catalog: dict[str, dict[str, Any]]) -> None:
    hits = 0
    asked = [item for item in catalog.values() if item["image"] and item["available"]][:20]
    for item in asked:
        content = base64.b64encode(Path(item["image"]).read_bytes()).decode()
        given = found(each, query={"image": {"b64": content}}, k=10)
        hits += sum(
            catalog[other["item_id"]]["category"] == item["category"] for other in given if other["item_id"] in catalog
        )
    by_chance = len(asked) * 10 / len({item["category"] for item in catalog.values()})
    assert hits > 2 * by_chance


def test_a_query_and_a_user_are_blended(each, active_users: ActiveUsers, catalog: dict[str, dict[str, Any]]) -> None:
    [user] = active_users(3)[-1:]
    title = next(item["title"] for item in catalog.values() if item["available"])
    alone = found(each, query={"text": title}, k=10)
    blended = found(each, query={"text": title}, user_id=user, k=10)
    assert all(item["click"] is None for item in alone)
    assert all(item["click"] is not None for item in blended)
    assert [item["item_id"] for item in alone] != [item["item_id"] for item in blended]


def test_an_added_item_is_found_and_recommended_without_a_build(
    served, active_users: ActiveUsers, catalog: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    [user] = active_users(5)[-1:]
    # A query knows neither category nor price: the small encoders of this release do not find every item by it.
    suits = [catalog[item["item_id"]] for item in found(served, user_id=user, k=20)]
    liked, query = next(
        (item, by) for item in suits if item["item_id"] in ids(served, query=(by := itself(item)), k=50)
    )
    new = liked | {"item_id": "new-00001", "available": True}
    file = tmp_path / "new.jsonl"
    file.write_text(json.dumps(new))
    printed = served.winnow("items", "add", str(file), "--json")
    assert printed.returncode == 0, printed.stderr
    [added] = json.loads(printed.stdout)
    assert added["item_id"] == "new-00001"
    assert liked["item_id"] in added["nearest"]
    until(lambda: "new-00001" in ids(served, query=query, k=50), 30)
    given = {item["item_id"]: item for item in found(served, user_id=user, k=100)}
    assert given["new-00001"]["title"] == liked["title"]
    assert {"new_items", "retriever"} <= set(given["new-00001"]["sources"])

    readable = served.winnow("items", "add", str(file))
    assert "replaced" in readable.stdout, readable.stderr
    looked = served.winnow("recommend", "--text", query["text"], "--image", str(liked["image"]), "-k", "50")
    assert "new-00001" in looked.stdout, looked.stderr

    event = {"user_id": user, "item_id": "new-00001", "event": "view"}
    assert served.http.post("/v1/models/events:predict", json={"instances": [event]}).status_code == 200
    until(lambda: "new-00001" not in ids(served, user_id=user, k=100), 30)


def test_items_add_refuses_a_file_before_it_sends_anything(served, tmp_path: Path) -> None:
    file = tmp_path / "new.csv"
    file.write_text("item_id,price,image\nx1,5,\nx2,cheap,\nx3,5,nowhere.png\n")
    refused = served.winnow("items", "add", str(file))
    assert refused.returncode == 2
    assert "new.csv, row 2, column price" in refused.stderr
    assert "new.csv, row 3, column image" in refused.stderr


def test_items_are_changed_taken_down_and_deleted_by_the_command(
    served, active_users: ActiveUsers, tmp_path: Path
) -> None:
    """The release serves other tests too: the items that they use are put back."""
    [user] = active_users(7)[-1:]
    [one, other] = ids(served, user_id=user, k=2)
    file = tmp_path / "prices.csv"
    file.write_text(f"item_id,price,title\n{one},3.25,\n{other},4.5,\n")
    done = served.winnow("items", "set", str(file), "--json")
    assert done.returncode == 0, done.stderr
    assert [answer["state"] for answer in json.loads(done.stdout)] == ["changed", "changed"]
    [shown] = json.loads(served.winnow("items", "show", one, "--json").stdout)
    assert (shown["state"], shown["document"]["price"]) == ("changed", 3.25)
    assert shown["document"]["title"]
    assert "2 of 2 items changed" in served.winnow("items", "disable", str(file)).stdout
    until(lambda: not {one, other} & set(ids(served, user_id=user, k=100)), 30)
    assert f"{one}: disabled" in served.winnow("items", "show", one).stdout
    assert "2 of 2 items changed" in served.winnow("items", "enable", one, other).stdout
    until(lambda: {one, other} <= set(ids(served, user_id=user, k=100)), 30)
    new = tmp_path / "gone.csv"
    new.write_text("item_id,title\nto be deleted,A thing\n")
    assert served.winnow("items", "add", str(new)).returncode == 0
    assert "1 of 1 items changed" in served.winnow("items", "delete", "to be deleted").stdout
    assert "to be deleted: deleted" in served.winnow("items", "show", "to be deleted").stdout
    refused = served.winnow("items", "delete", "never seen")
    assert refused.returncode == 1
    assert "instances[0].item_id: must be an item of the catalog to delete it, got 'never seen'" in refused.stderr
