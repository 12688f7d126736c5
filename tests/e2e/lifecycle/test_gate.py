"""`winnow gate`: a good release passes, each sabotage is stopped and named, and the live release stays as it is."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tests.support.lifecycle.copies import copied, held_out, of_data
from winnow.evaluation.record import Estimate, EvaluationRecord, Group
from winnow.lifecycle.gate import Gate, judge
from winnow.lifecycle.live import promote
from winnow.release import Release, sha256

LIVE, GOOD, TWIN = 1, 2, 3
RULES = "replay: {requests: 20}\nload: {per_second: 10, seconds: 2, p99_ms: 10000, degraded: 1.0}\n"
"""On a busy machine a load says little; that it is offered and judged is shown all the same."""


@pytest.fixture(scope="module")
def home(winnow, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the live release, a good candidate of the same data, and its evaluated twin."""
    home = tmp_path_factory.mktemp("gate-home")
    for number in (LIVE, GOOD):
        copied(winnow.release(), home, number)
    held_out(winnow.release(), home, TWIN)
    promote(str(home), LIVE)
    (home / "gate.yaml").write_text(RULES)
    evaluated(home, difference=0.001)
    return home


@pytest.fixture(autouse=True)
def the_live_release_stays(home: Path) -> Iterator[None]:
    def content() -> dict[Path, str]:
        files = [
            home / "live.json",
            *(home / "releases" / "1").iterdir(),
            *(home / "model_repository" / "1").rglob("*.*"),
        ]
        return {path: sha256(path) for path in files if path.is_file()}

    before = content()
    yield
    assert content() == before


def evaluated(home: Path, difference: float, popularity: float = 0.05) -> None:
    """Write the record of an evaluation of 800 users, by the contract of evaluation and gate."""

    def estimate(value: float) -> Estimate:
        return Estimate(value=value, low=value - 0.002, high=value + 0.002)

    def group(other: str, theirs: float, gain: float) -> Group:
        return Group(
            users=800,
            metrics={
                "funnel": {name: estimate(theirs + gain) for name in ("ndcg@10", "recall@50")},
                other: {name: estimate(theirs) for name in ("ndcg@10", "recall@50")},
            },
            differences={other: {name: estimate(gain) for name in ("ndcg@10", "recall@50")}},
        )

    record = EvaluationRecord(
        release=TWIN,
        live=LIVE,
        uncompared="",
        objective="any",
        types=["view"],
        split="each user's last event",
        items=300,
        overall=group("popularity", popularity, 0.2 + difference - popularity),
        beside_live=group("live", 0.2, difference),
        segments={},
        losses=[],
        calibration={},
    )
    path = home / "evaluations" / str(TWIN) / "record.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(record.model_dump_json())


def test_a_good_release_passes_all_checks(winnow, home: Path) -> None:
    done = type(winnow)(home)("gate", str(GOOD), "--predictor=embedded")
    assert done.returncode == 0, done.stdout + done.stderr
    verdict = json.loads((home / "evaluations" / str(GOOD) / "gate.json").read_text())
    assert (verdict["passed"], verdict["live"], verdict["evaluated"], verdict["not_run"]) == (True, LIVE, TWIN, [])
    checks = {check["name"]: check for check in verdict["checks"]}
    assert checks["replay: errors"]["message"] == "20 requests were answered in full"
    assert checks["replay: overlap"]["value"] > 0.9, "it is the live release under another number"
    assert checks["load: errors"]["message"] == "0 of 20 requests at 10 a second failed"
    assert checks.keys() >= {
        "files",
        "feature schema",
        "data: evaluated",
        "data: volume",
        "data: newest event",
        "data: missing values",
        "data: categories",
        "data: modalities",
        "metrics: ndcg@10 beside popularity",
        "metrics: ndcg@10 beside live",
        "parity: ranker",
        "parity: image_encoder",
        "load: p99",
        "load: degraded",
    }


def test_a_worse_release_is_refused_by_name_and_number(winnow, home: Path) -> None:
    evaluated(home, difference=-0.15, popularity=0.06)
    done = type(winnow)(home)("gate", str(GOOD), "--predictor=embedded")
    evaluated(home, difference=0.001)
    assert done.returncode == 3, done.stdout + done.stderr
    refusals = done.stderr.splitlines()
    assert refusals == [
        "winnow: refused: metrics: ndcg@10 beside popularity: ndcg@10 is -0.0100 beside popularity's 0.0600 "
        "(95 %: -0.0120 to -0.0080, 800 users); the whole interval must be above 0",
        *(
            f"winnow: refused: metrics: {metric} beside live: {metric} is -0.1500 beside release 1's 0.2000 "
            "(95 %: -0.1520 to -0.1480, 800 users); the whole interval must be above -0.0100"
            for metric in ("ndcg@10", "recall@50")
        ),
    ]
    assert "not run, because a check above failed: replay, load" in done.stdout
    verdict = json.loads((home / "evaluations" / str(GOOD) / "gate.json").read_text())
    assert (verdict["passed"], verdict["not_run"]) == (False, ["replay", "load"])


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def one_changed_weight(content: bytes) -> bytes:
    """The graph with one byte of its largest weights changed: it loads, and computes something else."""
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 0x40]) + content[place + 1 :]


@pytest.mark.parametrize("sabotage", [truncated, one_changed_weight])
def test_changed_weights_are_refused_by_the_gate_and_at_start(
    sabotage: Callable[[bytes], bytes], winnow, home: Path, free_ports: int
) -> None:
    number = 10 + [truncated, one_changed_weight].index(sabotage)
    release = copied(winnow.release(), home, number)
    graph = home / "model_repository" / str(number) / "ranker" / str(number) / "model.onnx"
    content = graph.read_bytes()
    graph.unlink()
    graph.write_bytes(sabotage(content))
    verdict = judge(release, None, Release.open(home / "releases" / "1"), Gate())
    [failed] = verdict.failed
    assert failed.name == "files"
    assert failed.message.startswith(f"{graph} is missing or has changed since release {number} was built")
    started = type(winnow)(home)("up", f"--release={number}", "--predictor=embedded", f"--port-base={free_ports}")
    assert started.returncode != 0
    assert "ranker" in started.stderr


def rewritten(folder: Path, table: str, change: Callable[[pa.Table], pa.Table]) -> None:
    path = folder / f"{table}.parquet"
    pq.write_table(change(pq.read_table(path)), path)


def half_the_log(folder: Path) -> None:
    """The older half is gone: the newest event is as new as before."""
    rewritten(folder, "events", lambda log: log.sort_by("timestamp").slice(log.num_rows // 2))


def one_country(folder: Path) -> None:
    def everywhere(users: pa.Table) -> pa.Table:
        column = users.column_names.index("country")
        return users.set_column(column, "country", pa.array(["FR"] * users.num_rows))

    rewritten(folder, "users", everywhere)


def pictures_gone(folder: Path) -> None:
    """The table still names them."""
    shutil.rmtree(folder / "images")


def another_column(folder: Path) -> None:
    rewritten(
        folder,
        "users",
        lambda users: users.rename_columns(["land" if name == "country" else name for name in users.column_names]),
    )
    path = folder / "dataset.yaml"
    spec = yaml.safe_load(path.read_text())
    spec["users"]["categorical"] = ["land" if name == "country" else name for name in spec["users"]["categorical"]]
    path.write_text(yaml.safe_dump(spec))


SABOTAGES = {
    half_the_log: ("data: volume", "events: 4,000 beside 8,000"),
    one_country: ("data: categories", "users.country is 'FR' in 100.0% of the rows, was "),
    pictures_gone: ("data: modalities", "0.0% of the items have an embedding of image, 100.0% had"),
    another_column: ("feature schema", "user features removed: country; user features added: land"),
}


@pytest.mark.parametrize("sabotage", SABOTAGES)
def test_sabotaged_data_are_refused(sabotage: Callable[[Path], None], winnow, home: Path, tmp_path: Path) -> None:
    size = winnow.release().manifest.source
    pattern = f"*-{size.items}-{size.users}-{size.events}-{size.seed}"
    [source] = (winnow.home / "marketplace").glob(pattern)
    shutil.copytree(source, tmp_path / "data")
    sabotage(tmp_path / "data")
    number = 20 + list(SABOTAGES).index(sabotage)
    release = of_data(winnow.release(), home, number, tmp_path / "data", tmp_path)
    verdict = judge(release, None, Release.open(home / "releases" / "1"), Gate())
    name, said = SABOTAGES[sabotage]
    found = {check.name: check.message for check in verdict.failed}
    # A shorter log also changes the numbers that are counted from it.
    assert found.keys() - {"data: numbers"} == {name}
    assert said in found[name]
