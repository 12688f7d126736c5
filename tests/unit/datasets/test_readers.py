"""The readers: atomic files, Parquet and CSV folders, and their description."""

from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from tests.support.paths import SHARED
from winnow.datasets.canonical.dataset import Dataset
from winnow.datasets.canonical.spec import EXAMPLE, DatasetSpec, EventType
from winnow.datasets.canonical.validate import validate
from winnow.datasets.ingest import ingest
from winnow.datasets.readers.atomic import read_atomic
from winnow.datasets.readers.tables import read_local
from winnow.errors import DataError, WinnowError

ML_100K = SHARED / "data" / "ml-100k"

YAML = """
name: shop
events: {view: 1, buy: 5}
items: {categorical: [brand, tags], numeric: [weight]}
users: {categorical: [country], numeric: [age]}
"""
ITEMS = pa.table(
    {
        "item_id": ["007", "b", "c"],
        "title": ["Lamp", "Chair, red", None],
        "price": [1.5, None, 3.0],
        "image": ["images/a.png", "s3://bucket/b.png", None],
        "audio": ["/sounds/a.wav", None, None],
        "available": [True, None, False],
        "brand": ["NA", "Alta", None],
        "tags": ["x", "y", None],
        "weight": [1, 2, None],
        "unused": [1, 2, 3],
    }
)
USERS = pa.table({"user_id": ["1", "2"], "country": ["NA", "DE"], "age": [30, None]})
EVENTS = pa.table(
    {
        "user_id": ["1", "1", "2"],
        "item_id": ["007", "b", "c"],
        "event": ["view", "buy", "view"],
        "timestamp": [1_700_000_000_000, 1_700_000_001_000, 1_700_000_002_000],
    }
)


@pytest.fixture(params=["parquet", "csv", "parquet folder", "csv folder"])
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    (tmp_path / "dataset.yaml").write_text(YAML)
    ending, _, parts = request.param.partition(" ")
    write = pq.write_table if ending == "parquet" else pa_csv.write_csv
    for name, table in (("items", ITEMS), ("users", USERS), ("events", EVENTS)):
        if parts:
            (tmp_path / name).mkdir()
            write(table.slice(0, 1), tmp_path / name / f"part-0.{ending}")
            write(table.slice(1), tmp_path / name / f"part-1.{ending}")
        else:
            write(table, tmp_path / f"{name}.{ending}")
    return tmp_path


def test_tables_read_the_same_in_every_format(folder: Path) -> None:
    data = validate(read_local(folder))
    assert data.items.to_pydict() == {
        "item_id": ["007", "b", "c"],
        "title": ["Lamp", "Chair, red", None],
        "description": [None, None, None],
        "category": [None, None, None],
        "price": [1.5, None, 3.0],
        "image": [f"{folder.resolve()}/images/a.png", "s3://bucket/b.png", None],
        "audio": ["/sounds/a.wav", None, None],
        "created_at": [None, None, None],
        "available": [True, True, False],
        "brand": ["NA", "Alta", None],
        "tags": ["x", "y", None],
        "weight": [1.0, 2.0, None],
    }
    assert data.items.schema.field("created_at").type == pa.int64()
    assert data.users.to_pydict() == {"user_id": ["1", "2"], "country": ["NA", "DE"], "age": [30.0, None]}
    assert data.events.to_pydict() == EVENTS.to_pydict() | {"amount": [None] * 3}
    assert data.spec.conversions == ("buy",)


def test_lists_dates_and_integer_ids_are_read(tmp_path: Path) -> None:
    (tmp_path / "dataset.yaml").write_text("name: x\nevents: {view: 1}\nitems: {categorical: [tags]}\n")
    moment = pa.array([1_700_000_000_123_456], pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({"item_id": [1], "tags": [["a", "b"]], "created_at": moment}), tmp_path / "items.parquet")
    (tmp_path / "events.csv").write_text("user_id,item_id,event,timestamp\nu,1,view,2024-05-01T10:00:00Z\n")
    data = validate(read_local(tmp_path))
    assert data.items["item_id"].to_pylist() == ["1"]
    assert data.items["tags"].to_pylist() == [["a", "b"]]
    assert data.items["created_at"].to_pylist() == [1_700_000_000_123]
    assert data.events["timestamp"].to_pylist() == [1_714_557_600_000]
    assert data.users.to_pydict() == {"user_id": ["u"]}


def test_a_data_set_round_trips(folder: Path, tmp_path: Path) -> None:
    data = validate(read_local(folder))
    data.save(tmp_path / "saved")
    loaded = Dataset.load(tmp_path / "saved")
    assert loaded.spec == data.spec
    assert loaded.items.equals(data.items)
    assert loaded.users.equals(data.users)
    assert loaded.events.equals(data.events)
    # A saved data set is itself a data set of tables.
    again = validate(read_local(tmp_path / "saved"))
    assert again.items.equals(data.items)


def test_loading_a_folder_without_a_data_set_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(WinnowError, match=r"dataset\.yaml is missing"):
        Dataset.load(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: x\nevents: {view: one}", r"events\.view\.value: must be a number from -1000 to 1000.*, got 'one'"),
        ("name: x\nevents: {view: 1, buy: true}", r"events\.buy\.value: must be a number .*, got True"),
        ("name: x\nevents: {view: 1, buy: .nan}", r"events\.buy\.value: must be a number .*, got nan"),
        ("name: x\nevents: {buy: {value: 1001}}", r"events\.buy\.value: must be a number .*, got 1001"),
        ("name: x\nevents: {buy: {window_days: 3}}", r"events\.buy\.value: missing; add it"),
        ("name: x\nevents: {buy: {value: 1, weight: 3}}", r"events\.buy\.weight: no such field; correct its spelling"),
        ("name: x\nevents: {buy: {value: 1, window_days: 0}}", r"events\.buy\.window_days: must be .* above 0 .*got 0"),
        ("name: x\nevents: {buy: {value: 1, window_days: 366}}", r"events\.buy\.window_days: must be .* at most 365"),
        (
            "name: x\nevents: {buy: {value: 1, full_amount: 0}}",
            r"events\.buy\.full_amount: must be .* above 0.*, got 0",
        ),
        ("name: x\nevents: {view: 0, dislike: -1}", r"events: no type has a positive value; give the events that"),
        ("name: x\nevents: {no: 1}", r"events\.\w+: a name must be text; write it in quotes"),
        ("name: x\nevents: [view]", r"events: must be the event types, each with its value, as \{view: 1\}, got"),
        (
            f"name: x\nevents: {{{', '.join(f't{n}: 1' for n in range(101))}}}",
            r"101 types are too many \(at most 100\)",
        ),
        ("name: x\nevents: {view: 1}\nrepeats: often", r"repeats: Input should be 'hide', 'allow' or 'demote'"),
        ("name: x\nevents: {}", r"events: .*at least 1"),
        ("events: {view: 1}", r"name: missing; add it"),
        ("name: x\nevents: {view: 1}\nitem: {}", r"item: no such field"),
        ("name: x\nevents: {view: 1}\nconversions: [buy]", r"conversions: buy is not among the events"),
        ("name: x\nevents: {view: 1}\nitems: {numeric: [price]}", r"items: price is a canonical column"),
        (
            "name: x\nevents: {view: 1}\nitems: {numeric: [a], categorical: [a]}",
            r"items: a declared more than once",
        ),
        ("name: [x", r"not valid YAML"),
        ("", r"the file: "),
    ],
)
def test_a_broken_description_names_field_and_remedy(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "dataset.yaml"
    path.write_text(text)
    with pytest.raises(DataError, match=said) as raised:
        DatasetSpec.read(path)
    assert str(path) in str(raised.value)
    assert "purchase: {value: 10, window_days: 3}" in str(raised.value)  # an example to start from
    assert raised.value.exit_code == 2


def test_the_example_is_a_valid_description_and_reads_back_equal(tmp_path: Path) -> None:
    spec = DatasetSpec.parse(EXAMPLE, "the example")
    assert spec.events["purchase"] == EventType(value=10, window_days=3)
    assert spec.events["watch"] == EventType(value=2, full_amount=30)
    assert spec.values == {"view": 1, "cart": 3, "purchase": 10, "watch": 2, "dislike": -5}
    spec = spec.model_copy(update={"name": "Läden: no", "repeats": "demote"})
    spec.write(tmp_path / "dataset.yaml")
    assert DatasetSpec.read(tmp_path / "dataset.yaml") == spec


def test_a_value_of_zero_is_recorded_only() -> None:
    spec = DatasetSpec(name="x", events={"view": 1, "scroll": 0, "dislike": {"value": -3}})
    assert spec.values == {"view": 1, "scroll": 0, "dislike": -3}
    assert spec.conversions == ("view",)


def atomic(folder: Path, **files: str) -> Path:
    for ending, text in files.items():
        (folder / f"films.{ending}").write_text(text)
    return folder


def test_half_stars_are_rounded_up_and_seconds_become_milliseconds(tmp_path: Path) -> None:
    rows = (
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\nu\ta\t0.5\t1000000000.25\nu\tb\t4.5\t1000000001\n"
    )
    data = validate(read_atomic(atomic(tmp_path, inter=rows)))
    assert data.events["event"].to_pylist() == ["rated_1", "rated_5"]
    assert data.events["timestamp"].to_pylist() == [1_000_000_000_250, 1_000_000_001_000]
    assert data.spec.values == {f"rated_{n}": n - 2.5 for n in range(1, 6)}
    assert data.spec.conversions == ("rated_4", "rated_5")
    assert data.items["item_id"].to_pylist() == ["a", "b"]
    assert data.users["user_id"].to_pylist() == ["u"]


def test_ten_point_scales_and_logs_without_ratings(tmp_path: Path) -> None:
    header = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    spec = read_atomic(atomic(tmp_path, inter=header + "u\ta\t10\t1e9\n")).spec
    assert spec.conversions == ("rated_7", "rated_8", "rated_9", "rated_10")
    header = "session_id:token\tthing:token\ttimestamp:float\n"
    data = validate(read_atomic(atomic(tmp_path, inter=header + "u\ta\t1e9\n")))
    assert data.spec.values == {"interaction": 1.0}
    assert data.events["user_id"].to_pylist() == ["u"]


def test_atomic_columns_are_mapped(tmp_path: Path) -> None:
    data = validate(
        read_atomic(
            atomic(
                tmp_path,
                inter="user_id:token\titem_id:token\ttimestamp:float\nu\t1\t1e9\nv\t2\t1e9\n",
                item="item_id:token\ttitle:token_seq\tcategory:token_seq\tblurb:token_seq\tyear:token\tprice:float\n"
                '1\tThe "Best\tHome Light\tVery good\t1999\t2.5\n2\tOther\tHome\t\t\t\n'
                "3\tX\tHome\t\t2000\t\n4\tY\tHome\t\t2001\t\n",
                user="user_id:token\tage:token\tzip_code:token\tjob:token\nu\t20\t111\tcook\nv\t30\t222\tcook\n",
            )
        )
    )
    first, second, *_ = data.items.to_pylist()
    assert first["title"] == 'The "Best'
    assert first["category"] == "Home"
    assert first["categories"] == ["Home", "Light"]
    assert first["description"] == "Home Light Very good"
    assert (first["year"], first["price"]) == (1999.0, 2.5)
    assert (second["year"], second["price"], second["description"]) == (None, None, "Home")
    assert data.spec.users.categorical == ("job",)
    assert data.spec.users.numeric == ("age",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("user_id\titem_id\nu\ta\n", r"films\.inter: each column must be headed .* 'user_id'"),
        ("user_id:token\titem_id:word\nu\ta\n", r"each column must be headed .* 'item_id:word'"),
        ("user_id:token\nu\n", r"needs the columns user_id:token and item_id:token"),
        ("user_id:token\titem_id:token\trating:float\nu\ta\tgood\n", r"films\.inter, column rating: .*1 row.*'good'"),
        ("user_id:token\titem_id:token\trating:float\nu\ta\t4000\n", r"too many for a rating scale"),
        (
            "user_id:token\titem_id:token\nu\n",
            r"films\.inter: rows with more or fewer values.*1 row.*'u'",
        ),
        ("user_id:token\titem_id:token\nu\ta\n", r"films\.inter, column timestamp: the column is missing"),
    ],
)
def test_broken_atomic_files_are_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        validate(read_atomic(atomic(tmp_path, inter=text)))


def test_two_logs_are_ambiguous(tmp_path: Path) -> None:
    (tmp_path / "a.inter").touch()
    (tmp_path / "b.inter").touch()
    with pytest.raises(WinnowError, match=r"a\.inter, b\.inter"):
        read_atomic(tmp_path)


@pytest.mark.skipif(not ML_100K.is_dir(), reason="MovieLens 100K is not beside the repository")
def test_movielens_100k(tmp_path: Path) -> None:
    data = ingest(str(ML_100K), tmp_path / "out", holdout="last")
    assert (data.items.num_rows, data.users.num_rows, data.events.num_rows) == (1682, 943, 100_000 - 943)
    assert data.spec.items.categorical == ("class",)
    assert data.spec.items.numeric == ("release_year",)
    assert data.spec.users.categorical == ("gender", "occupation")
    assert data.spec.users.numeric == ("age",)
    toy_story = data.items.slice(0, 1).to_pylist()[0]
    assert toy_story["title"] == "Toy Story"
    assert toy_story["category"] == "Animation"
    assert toy_story["class"] == ["Animation", "Children's", "Comedy"]
    assert toy_story["description"] == "Animation Children's Comedy"
    assert toy_story["release_year"] == 1995.0
    assert pq.read_table(tmp_path / "out/holdout.parquet").num_rows == 943
