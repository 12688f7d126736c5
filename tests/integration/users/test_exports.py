"""The exports after an erasure, on a folder and on S3; and what reads them afterwards."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pyarrow.parquet as pq
import pytest
from moto.server import ThreadedMotoServer

from winnow import files
from winnow.datasets.ingest import ingest
from winnow.feedback import export_files
from winnow.feedback.erased_exports import erase_from_exports
from winnow.feedback.erased_person import PROOFS, erase_person
from winnow.feedback.export import export
from winnow.feedback.export_files import EVENT_TABLE, TABLES, USER_CHANGE_TABLE
from winnow.feedback.rebuild import rebuild
from winnow.feedback.since import new_events
from winnow.release import Release
from winnow.store.connection import Client
from winnow.store.keys import EVENTS, TRIMMED
from winnow.users.attributes import Attributes
from winnow.users.erase import erase, proofs
from winnow.users.merge import merge


@pytest.fixture(params=["folder", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if request.param == "folder":
        yield str(tmp_path / "exports")
        return
    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    boto3.setup_default_session()
    boto3.client("s3").create_bucket(Bucket="exports")
    yield f"s3://exports/{tmp_path.name}"
    server.stop()
    boto3.DEFAULT_SESSION = None


def rows(folder: str) -> list[dict[str, Any]]:
    import io

    return [
        row
        for table in TABLES
        for address in export_files.written(folder, table)
        for row in pq.read_table(io.BytesIO(files.read(address))).to_pylist()
    ]


def append(client: Client, user_id: str, number: int) -> None:
    fields = {"user_id": user_id, "item_id": f"item-{number}", "event": "view", "timestamp": 10**12 + number}
    client.xadd(EVENTS, fields)


def test_rows_of_the_person_are_removed(published: Release, client: Client, redis_url: str, folder: str) -> None:
    attributes = Attributes(client, published)
    for number in range(1, 10):
        append(client, "stays", number)
        append(client, "visitor", number)
    attributes.change([("stays", {"country": "pt"}), ("goes", {"country": "pt"})])
    merge(client, published, attributes, "visitor", "goes")
    # The last event of the file is the person's.
    append(client, "goes", 20)
    export(folder, redis_url, show_progress=False)
    last = client.xinfo_stream(EVENTS)["last-generated-id"]
    # By a call of the endpoint, which knows no exports; the operator's command comes later.
    erase(client, "goes")
    done = erase_from_exports(client, folder)
    assert (done.files, done.rewritten, done.rows, done.found) == (2, 2, 12, 0)
    assert {row["user_id"] for row in rows(folder)} == {"stays"}
    assert export_files.last(export_files.written(folder, EVENT_TABLE)[-1]).encode() == last
    assert erase_from_exports(client, folder).rewritten == 0
    # The rebuild still knows that the exports are whole, and the count of new events that they end there.
    client.set(TRIMMED, last)
    client.xtrim(EVENTS, maxlen=0)
    assert rebuild(published, redis_url, show_progress=False, exports=folder).events == 9
    found = new_events(0, client, folder, 5)
    assert found is not None
    assert found.total == 9


def test_the_command_stores_the_proof_beside_the_exports(
    published: Release, client: Client, redis_url: str, folder: str
) -> None:
    append(client, "goes", 1)
    export(folder, redis_url, show_progress=False)
    proof = erase_person(redis_url, "goes", folder, show_progress=False)
    assert proof["exports"] == {"files": 1, "rewritten": 1, "rows": 1, "found": 0}
    [address] = files.walk(files.inside(folder, PROOFS))
    assert json.loads(files.read(address)) == proof
    assert proofs(client) == [proof]
    assert b"goes" not in files.read(address)
    assert new_events(0, client, folder, 5) is not None


def test_a_build_applies_the_exported_changes(
    published: Release, client: Client, redis_url: str, tmp_path: Path
) -> None:
    shop = tmp_path / "shop"
    shop.mkdir()
    spec = "name: shop\nevents: {view: 1, buy: 4, dislike: -5}\nusers: {categorical: [country]}\n"
    (shop / "dataset.yaml").write_text(spec)
    (shop / "items.csv").write_text("\n".join(["item_id", *(f"item-{number}" for number in range(1, 30))]))
    (shop / "users.csv").write_text("user_id,country\nstays,fi\ngoes,is\n")
    attributes = Attributes(client, published)
    for number in range(1, 10):
        append(client, "stays", number)
        append(client, "goes", number)
    attributes.change([("stays", {"country": "pt"}), ("new", {"country": "is"})])
    erase_person(redis_url, "goes", str(shop), show_progress=False)
    result = export(str(shop), redis_url, show_progress=False)
    assert result.user_changes == 3
    dataset = ingest(str(shop), tmp_path / "out")
    assert dataset.users.to_pylist() == [{"user_id": "stays", "country": "pt"}, {"user_id": "new", "country": "is"}]
    assert {*dataset.events["user_id"].to_pylist()} == {"stays"}
    [address] = export_files.written(str(shop), USER_CHANGE_TABLE)
    assert b"goes" not in files.read(address)
