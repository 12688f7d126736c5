"""What an import writes passes through the steps of a build: ingestion, features, export."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.scale.subjects.untrained_release import write_of
from winnow.release import Release

ITEMS, USERS, EACH = 40, 30, 12
START_S = 1_700_000_000


def gorse(folder: Path) -> None:
    """An export of Gorse 0.4."""
    _write(folder / "users.csv", ["user_id", "labels"], [[f"u{n}", f'{{"city":"c{n % 3}"}}'] for n in range(USERS)])
    _write(
        folder / "items.csv",
        ["item_id", "is_hidden", "categories", "time_stamp", "labels", "description"],
        [
            [
                f"i{n}",
                "false",
                f"c{n % 4}|all",
                "2023-01-01 00:00:00 +0000 UTC",
                f'{{"size":{n},"tag":["t{n % 5}"]}}',
                "",
            ]
            for n in range(ITEMS)
        ],
    )
    log = [
        ["star" if n % 4 == 3 else "read", f"u{user}", f"i{(user * 7 + n) % ITEMS}", _time(user, n)]
        for user in range(USERS)
        for n in range(EACH)
    ]
    _write(folder / "feedback.csv", ["feedback_type", "user_id", "item_id", "time_stamp"], log)


def personalize(folder: Path) -> None:
    """Files of Personalize, with impressions and without users."""
    _write(
        folder / "items.csv",
        ["ITEM_ID", "GENRES", "PRICE", "CREATION_TIMESTAMP"],
        [[f"i{n}", f"g{n % 4}|all", f"{n}.5", str(START_S)] for n in range(ITEMS)],
    )
    log = [
        [f"u{user}", f"i{at}", str(START_S + 1000 * user + n), "Purchase" if n % 4 == 3 else "View", f"i{at}|i0|i1"]
        for user in range(USERS)
        for n in range(EACH)
        for at in [(user * 7 + n) % ITEMS]
    ]
    _write(folder / "interactions.csv", ["USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE", "IMPRESSION"], log)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("system", [gorse, personalize])
def test_an_imported_data_set_becomes_a_release(system, tmp_path: Path) -> None:
    folder, output = tmp_path / "exported", tmp_path / "data"
    folder.mkdir()
    system(folder)
    program = Path(sys.executable).with_name("winnow")
    command = [program, "import", system.__name__, str(folder), "--output", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert f"events: {USERS * EACH} rows" in done.stdout
    assert f"run `winnow build --data {output}`" in done.stdout
    assert "left out" not in done.stdout
    release: Release = write_of(tmp_path / "home", output, "an import")
    assert release.items == ITEMS
    assert len(release.array("user_ids")) == USERS
    assert release.schema.event_values == ((1.0, 3.0) if system is gorse else (1.0, 10.0))


def _time(user: int, number: int) -> str:
    return f"2023-06-{1 + user % 28:02} {number:02}:{user % 60:02}:00 +0000 UTC"


def _write(path: Path, heading: list[str], rows: list[list[str]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([heading, *rows])
