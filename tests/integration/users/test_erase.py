"""After an erasure nothing holds a byte of the user, and nothing that was in flight brings the user back."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.sidecar.process import start_sidecar
from tests.support.until import until
from tests.support.users.traces import in_files, in_redis, packed_items
from winnow.erasures.digest import digest
from winnow.feedback import erased_exports
from winnow.feedback.export import export
from winnow.feedback.rebuild import rebuild
from winnow.ports import Ports
from winnow.release import Release
from winnow.store import history
from winnow.store import publish as publication
from winnow.store.connection import Client
from winnow.store.keys import ERASURES, EVENTS, IMPRESSIONS, Keys, recent
from winnow.store.publish import publish, remove
from winnow.store.shared_state import state_of
from winnow.users import erase as module
from winnow.users.erase import erase, proofs

USER = "user-7"
NEWCOMER = "never-seen"
ITEMS = [11, 22, 33, 44]


def sent(server: Any, user_id: str, items: list[int] = ITEMS, prefix: str = "") -> None:
    events: list[dict[str, Any]] = [{"user_id": user_id, "item_id": f"item-{item}", "event": "view"} for item in items]
    if prefix:
        events = [event | {"event_id": f"{prefix}-{place}"} for place, event in enumerate(events)]
    status, body = server.v1(*events, model="events")
    assert status == 200, body


def applied(client: Client, release: Release) -> bool:
    groups = {group["name"]: group for group in client.xinfo_groups(EVENTS)}
    group = groups[Keys(release.manifest.number).group.encode()]
    return bool(group["last-delivered-id"] == client.xinfo_stream(EVENTS)["last-generated-id"] and not group["pending"])


def answer(server: Any, user_id: str) -> list[dict[str, Any]]:
    status, body = server.v1({"user_id": user_id, "k": 30})
    assert status == 200, body
    items: list[dict[str, Any]] = body["predictions"][0]["items"]
    return items


def needles(release: Release, user_id: str) -> list[bytes]:
    """The id, and the user's logged and sent items in a row, as text and packed."""
    row = release.array("user_ids").tolist().index(user_id)
    first, end = release.array("offsets")[row : row + 2].tolist()
    newest = release.array("item")[max(first, end - 4) : end].tolist()
    return [user_id.encode(), *packed_items(newest), *packed_items(ITEMS)]


def test_nothing_is_left(
    published: Release, client: Client, redis_url: str, tmp_path: Path, serve_published: Callable[..., Any]
) -> None:
    exports = tmp_path / "exports"
    sidecar = start_sidecar(published, redis_url, tmp_path, Ports.free().sidecar)
    try:
        with serve_published(reuse_s=5.0) as server:
            assert answer(server, USER) != answer(server, NEWCOMER)
            sent(server, USER, prefix="named-by-the-sender")
            server.v1({"user_id": USER, "attributes": {"country": "is"}}, model="users")
            server.v1({"user_id": "before-login", "action": "merge", "into": USER}, model="users")
            sent(server, "before-login", [55])
            sent(server, "other-1", [33, 11, 44, 22, 22, 11])
            until(lambda: applied(client, published) and client.xlen(IMPRESSIONS) >= 2)
            export(str(exports), redis_url, show_progress=False)
            # Some of it exported and trimmed, some only in the streams.
            sent(server, USER)
            answer(server, USER)
            until(lambda: applied(client, published))
            client.set(f"pages:{{u:{USER}}}:some-page", "shown", ex=600)
            assert in_redis(client, needles(published, USER))

            status, body = server.v1({"user_id": USER, "action": "erase"}, model="users")
            assert status == 200, body
            proof = body["predictions"][0]["erased"]
            done = erased_exports.erase_from_exports(client, str(exports))

            assert answer(server, USER) == answer(server, NEWCOMER)
            read = server.v1({"user_id": USER, "action": "read"}, model="users")[1]["predictions"][0]
            assert (read["known"], read["history"], read["features"]) == (False, [], {})
    finally:
        sidecar.terminate()
        sidecar.wait()
    wanted = [*needles(published, USER), b"before-login", b"named-by-the-sender"]
    # What the test itself asked for afterwards is not logged, either.
    assert in_redis(client, wanted) == []
    assert in_files(exports, wanted) == []
    assert in_files(exports, [b"other-1"])
    assert proof["identities"] == 2
    assert done.rows > 0
    assert done.found == 0
    assert proof["removed"]["keys"] > 4
    assert proof["removed"]["events"] > 0
    assert proof["removed"]["impressions"] > 0
    assert not any(proof["found"].values())
    assert proof["digest"] == digest(USER)
    assert USER not in json.dumps(proof)
    assert proofs(client) == [proof]


def test_an_old_release_lists_and_a_rebuild_do_not_bring_the_user_back(
    published: Release, client: Client, redis_url: str, tmp_path: Path
) -> None:
    number = published.manifest.number
    erase(client, USER)
    wanted = needles(published, USER)
    rebuild(published, redis_url, show_progress=False, exports=str(tmp_path / "none"))
    assert in_redis(client, wanted) == []
    remove(number, redis_url)
    publish(published.folder, redis_url, show_progress=False)
    assert in_redis(client, wanted) == []
    assert client.exists(Keys(number).user_row("user-4"))


def test_an_erasure_during_a_publication_wins(
    release: Release, client: Client, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = publication._Publication._users

    def erased_meanwhile(self: Any, *given: Any) -> Any:
        # Before the rows are written, and after the ledger was read.
        erase(client, USER)
        yield from whole(self, *given)

    monkeypatch.setattr(publication._Publication, "_users", erased_meanwhile)
    publish(release.folder, redis_url, show_progress=False)
    assert in_redis(client, [USER.encode()]) == []
    assert client.exists(Keys(release.manifest.number).user_row("user-4"))


def test_it_can_be_repeated_and_completes_what_was_interrupted(
    published: Release, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, calls = module._sweep, []

    def killed(*given: Any) -> Any:
        calls.append(given)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_sweep", killed)
    with pytest.raises(KeyboardInterrupt):
        erase(client, USER)
    assert client.exists(Keys(published.manifest.number).user_row(USER))
    assert client.hlen(ERASURES) == 0
    monkeypatch.setattr(module, "_sweep", sweep)
    first, second = erase(client, USER), erase(client, USER)
    assert first.removed["keys"] > 0
    assert second.removed["keys"] == 0
    assert in_redis(client, needles(published, USER)) == []
    assert len(proofs(client)) == 2


def test_events_in_flight_do_not_bring_the_user_back(
    published: Release, client: Client, redis_url: str, tmp_path: Path, serve_published: Callable[..., Any]
) -> None:
    """Twenty users are erased while two sidecars apply their events and those of others."""
    state, stop = state_of(published), threading.Event()
    sidecars = [start_sidecar(published, redis_url, tmp_path, Ports.free().sidecar) for _ in range(2)]
    victims = [f"user-{number}" for number in range(20)]
    left: list[str] = []
    try:
        with serve_published() as server:

            def load(number: int) -> None:
                while not stop.is_set():
                    sent(server, f"other-{number}", [1, 2, 3])

            def asked() -> None:
                while not stop.is_set():
                    answer(server, "other-0")

            threads = [threading.Thread(target=load, args=(number,)) for number in range(2)]
            threads.append(threading.Thread(target=asked))
            for thread in threads:
                thread.start()
            try:
                for victim in victims:
                    sent(server, victim, list(range(100, 140)))
                    answer(server, victim)
                    erase(client, victim)
                time.sleep(1.0)
            finally:
                stop.set()
                for thread in threads:
                    thread.join()
        until(lambda: applied(client, published))
    finally:
        for sidecar in sidecars:
            sidecar.terminate()
            sidecar.wait()
    left = in_redis(client, [f"{{u:{victim}}}".encode() for victim in victims])
    assert left == []
    users = [fields[b"user_id"].decode() for stream in (EVENTS, IMPRESSIONS) for _, fields in client.xrange(stream)]
    assert not {*victims} & {*users}
    assert client.llen(state.history("other-0")) > 0


def test_events_after_it_are_a_newcomers(
    published: Release, client: Client, redis_url: str, tmp_path: Path, serve_published: Callable[..., Any]
) -> None:
    sidecar = start_sidecar(published, redis_url, tmp_path, Ports.free().sidecar)
    try:
        with serve_published() as server:
            erase(client, USER)
            sent(server, USER)
            until(lambda: applied(client, published))
            read = server.v1({"user_id": USER, "action": "read"}, model="users")[1]["predictions"][0]
            assert [event["item_id"] for event in reversed(read["history"])] == [f"item-{item}" for item in ITEMS]
    finally:
        sidecar.terminate()
        sidecar.wait()
    # A rebuild from log and stream has the newcomer's events alone, too.
    client.delete(state_of(published).history(USER))
    rebuild(published, redis_url, show_progress=False, exports=str(tmp_path / "none"))
    held = client.lrange(state_of(published).history(USER), 0, history.KEPT)
    assert len(held) == len(ITEMS)
    assert client.zcard(recent(USER)) == len(ITEMS)


@pytest.mark.parametrize("user_id", ["a}b", "{u:x}", "x*[y]?", "ключ 7", "x}:row"])
def test_ids_of_all_kinds(published: Release, client: Client, user_id: str) -> None:
    keys, others = Keys(published.manifest.number), ["x", "x}:row", "a", "xy", "foo{u:x}", "x}y"]
    for name in {user_id, *others}:
        client.set(keys.user_row(name), b"row")
    erase(client, user_id)
    assert [name for name in (user_id, *others) if not client.exists(keys.user_row(name))] == (
        [user_id] if user_id not in others else [user_id, user_id]
    )


def test_the_stream_has_an_entry_without_the_id(published: Release, client: Client) -> None:
    done = erase(client, USER)
    [(_, fields)] = client.xrange("{events}:users")
    assert fields == {b"action": b"erase", b"digest": done.digest.encode(), b"key": done.key.encode()}
