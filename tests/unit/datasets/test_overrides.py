"""A dataset.yaml beside NAME.inter overrides what the rule decides, and nothing else."""

from pathlib import Path

import pytest

from winnow.datasets.canonical.spec import DatasetSpec, EventType
from winnow.datasets.ingest import ingest
from winnow.datasets.origin import items_of
from winnow.errors import DataError, WinnowError
from winnow.release import BuildInputs

LOG = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + "".join(
    f"u{row % 3}\ti{row}\t{row % 5 + 1}\t{1_700_000_000 + row}\n" for row in range(15)
)


@pytest.fixture
def films(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    (folder / "films.inter").write_text(LOG)
    return folder


def described(films: Path, text: str) -> DatasetSpec:
    (films / "dataset.yaml").write_text(text)
    return ingest(str(films), films.parent / "out").spec


def test_ratings_as_plain_interactions(films: Path) -> None:
    # In another order than the rule's, which stays the order of the codes.
    spec = described(films, "events: {rated_5: 1, rated_1: 1, rated_2: 1, rated_3: 1, rated_4: 1}\n")
    assert list(spec.values.items()) == [(f"rated_{step}", 1.0) for step in range(1, 6)]
    assert (spec.name, spec.repeats, spec.conversions) == ("films", "hide", ("rated_4", "rated_5"))
    assert DatasetSpec.read(films.parent / "out/dataset.yaml") == spec


def test_other_fields_leave_the_values_of_the_rule(films: Path) -> None:
    spec = described(films, "name: cinema\nconversions: [rated_5]\nrepeats: allow\nmax_bad_share: 0.5\n")
    assert list(spec.values.values()) == [-1.5, -0.5, 0.5, 1.5, 2.5]
    assert (spec.name, spec.conversions, spec.repeats, spec.max_bad_share) == ("cinema", ("rated_5",), "allow", 0.5)
    with (films / "films.inter").open("a") as log:
        log.write("broken\n")
    assert ingest(str(films), films.parent / "out").account.quarantined == 1


def test_an_empty_file_overrides_nothing(films: Path) -> None:
    assert described(films, "# nothing yet\n").repeats == "hide"


def test_windows_are_overridden(films: Path) -> None:
    types = ", ".join(f"rated_{step}: {{value: {step}, window_days: 7}}" for step in range(1, 6))
    spec = described(films, f"events: {{{types}}}\n")
    assert spec.events["rated_3"] == EventType(value=3, window_days=7)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "events: {rated_1: 1, rated_2: 1, view: 1}",
            r"events: films\.inter has the types rated_1, rated_2, rated_3, rated_4, rated_5: "
            "add rated_3, rated_4, rated_5 and remove view",
        ),
        (
            "items: {numeric: [year]}",
            r"items: is no field of a dataset\.yaml beside films\.inter, which may have name,",
        ),
        ("repeat: allow", r"repeat: is no field .*repeats, max_bad_share; remove it, or remove films\.inter to read"),
        ("repeats: often", r"repeats: Input should be 'hide', 'allow' or 'demote'"),
        ("conversions: [buy]", r"conversions: buy is not among the events"),
        (
            "events: [rated_1]",
            r"events: must be the event types of films\.inter, each with its value, got \['rated_1'\]",
        ),
        ("- events", r"the file: must have fields such as repeats: hide, got \['events'\]"),
        ("events: {rated_1: 1", r"it is not valid YAML"),
        ("name: ''", r"name: String should have at least 1 character"),
        (
            "events: {rated_1: 1, rated_2: one, rated_3: 1, rated_4: 1, rated_5: 1}",
            r"events\.rated_2\.value: must be a number from -1000 to 1000.*, got 'one'",
        ),
        (
            "events: {rated_1: 1, rated_2: 1, rated_3: 1, rated_4: 1, rated_5: {value: 1, full_amount: 5}}",
            r"events\.rated_5\.full_amount: the events of films\.inter have no amounts; remove it",
        ),
    ],
)
def test_what_it_may_not_say_is_named(films: Path, text: str, said: str) -> None:
    with pytest.raises(DataError, match=said) as refused:
        described(films, text)
    assert str(films / "dataset.yaml") in str(refused.value)
    assert refused.value.exit_code == 2


def test_a_flag_has_one_type(films: Path) -> None:
    (films / "films.inter").write_text(LOG.replace("rating", "label"))
    assert described(films, "events: {interaction: {value: 2, window_days: 7}}").values == {"interaction": 2.0}
    with pytest.raises(DataError, match="has the types interaction: add interaction and remove rated_1"):
        described(films, "events: {rated_1: 1}")


def test_a_folder_with_a_description_is_still_one_of_atomic_files(films: Path) -> None:
    described(films, "repeats: demote\n")
    # Atomic files have no images; their description does not make tables of them.
    assert items_of(BuildInputs(data=str(films))) is None
    # Nor a data set that another may replace.
    with pytest.raises(WinnowError, match="exists and is not a data set"):
        ingest(str(films.parent / "out"), films)
    assert (films / "films.inter").exists()
