"""The report as a page: whole, self-contained, and safe from the names in the data."""

from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.support.reporting.evaluations import HOSTILE, build, group, manifest, record
from winnow.errors import WinnowError
from winnow.evaluation.record import EvaluationRecord, Group
from winnow.provenance import BUILD, BuildRecord
from winnow.reporting.page import html, write_report
from winnow.reporting.verdict import verdict

LOADING = {"src", "srcset", "href", "xlink:href", "data", "action", "poster", "background"}


class Page(HTMLParser):
    """What is on a page: its elements, texts, and charts by section."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.loaded: list[str] = []
        self.handlers: list[str] = []
        self.ids: list[str] = []
        self.texts: list[str] = []
        self.charts: dict[str, int] = {}
        self._section, self._open = "", []
        self.feed(text)
        self.close()
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        named = dict(attributes)
        self.handlers += [name for name in named if name.startswith("on")]
        self.loaded += [f"{tag} {name}={value}" for name, value in attributes if name in LOADING]
        self.ids += [value for name, value in attributes if name == "id" and value]
        if tag == "section":
            self._section = named["id"] or ""
            self.charts[self._section] = 0
        if tag == "svg":
            self.charts[self._section] += 1
        if tag not in ("meta", "link", "br"):
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture(scope="module")
def whole() -> str:
    return html(record(), manifest(), build())


def test_every_chart_is_on_the_page(whole: str) -> None:
    charts = Page(whole).charts
    assert charts == {
        "key-figures": 0,
        "comparison": 5,
        "losses": 1,
        "calibration": 2,
        "segments": 2,
        "training": 2,
        "drift": 1,
        "steps": 1,
        "details": 0,
    }
    # A tooltip, of a mark of the waterfall.
    assert "<title>filter: unlikely: -4.2%</title>" in whole


def test_the_page_needs_no_other_file_and_runs_no_script(whole: str) -> None:
    page = Page(whole)
    assert page.loaded == []
    assert not {"script", "link", "iframe", "img", "object", "embed", "base", "form"} & set(page.tags)
    assert "@import" not in whole
    assert [part for part in whole.split("url(")[1:] if not part.startswith("#")] == []
    assert "default-src 'none'" in whole
    assert len(page.ids) == len(set(page.ids))
    assert page.handlers == []


def test_names_of_the_data_are_text(whole: str) -> None:
    page = Page(whole)
    assert HOSTILE not in whole
    shown = " ".join(page.texts)
    # Data set, event type, segment, drifted column, constant head, address.
    assert shown.count(HOSTILE) >= 6


def test_without_a_live_release_a_ranker_or_curves_the_page_is_whole() -> None:
    bare = record(live=None).model_copy(
        update={
            "losses": [],
            "calibration": {},
            "segments": {},
            "overall": group(1, ("funnel", "retriever", "popularity")),
        }
    )
    page = Page(html(bare, manifest(), BuildRecord()))
    assert page.charts == {"key-figures": 0, "comparison": 3, "details": 0}
    assert "No comparison with a live release: no release is live." in " ".join(page.texts)


def shifted(found: Group, by: float) -> EvaluationRecord:
    differences = {
        name: {
            metric: each.model_copy(update={"low": each.low + by, "value": each.value + by, "high": each.high + by})
            for metric, each in metrics.items()
        }
        for name, metrics in found.differences.items()
    }
    return record().model_copy(update={"beside_live": found.model_copy(update={"differences": differences})})


@pytest.mark.parametrize(
    ("by", "tone", "said"), [(1.0, "good", "Better"), (-1.0, "bad", "Worse"), (0.0, "even", "No difference from")]
)
def test_the_verdict_follows_from_the_interval_of_the_difference(by: float, tone: str, said: str) -> None:
    beside = record().beside_live
    assert beside is not None
    found = verdict(shifted(beside, by))
    assert found.tone == tone
    assert found.headline.startswith(said)
    assert "the live release 1" in found.headline
    assert "60 users" in found.detail


def test_a_report_is_written_beside_the_record(tmp_path: Path) -> None:
    with pytest.raises(WinnowError, match=r"release 2 was not evaluated in .*: run `winnow evaluate`"):
        write_report(tmp_path, 2)
    release, evaluation = tmp_path / "releases" / "2", tmp_path / "evaluations" / "2"
    release.mkdir(parents=True)
    evaluation.mkdir(parents=True)
    (release / "manifest.json").write_text(manifest().model_dump_json())
    (release / BUILD).write_text(build().model_dump_json())
    (evaluation / "record.json").write_text(record().model_dump_json())
    gate = (
        '{"passed": false, "checks": [{"name": "parity", "passed": false, "message": "ranker differs by 3", "x": 1}]}'
    )
    (evaluation / "gate.json").write_text(gate)
    path = write_report(tmp_path, 2)
    assert path == evaluation / "report.html"
    shown = " ".join(Page(path.read_text()).texts)
    assert "The gate refused it: 0 of" in shown
    assert "parity: ranker differs by 3" in shown
    (evaluation / "record.json").write_text('{"release": 2}')
    with pytest.raises(WinnowError, match="is not the record of an evaluation by this version"):
        write_report(tmp_path, 2)
