"""A home with releases in every state, and texts in them that would harm a page that did not escape them."""

from pathlib import Path

from tests.support.lifecycle.homes import add_release
from tests.support.reporting.evaluations import record
from tests.support.tiny_release import write_release
from winnow.lifecycle.live import promote
from winnow.lifecycle.verdict import Check, Verdict, write

HOSTILE = "<script>alert('&')</script><img src=x onerror=alert(1)>"

BEFORE, LIVE, GOOD, TWIN, REFUSED, BROKEN = 1, 2, 3, 4, 5, 6


def write_shelf(home: Path) -> None:
    """Write the releases.

    ``LIVE`` is live and ``BEFORE`` was; the gate passed ``GOOD`` and refused ``REFUSED``; ``TWIN`` was built for
    evaluation and evaluated; the manifest of ``BROKEN`` cannot be read. The others have models of arbitrary bytes.
    """
    for number in (BEFORE, LIVE, GOOD, REFUSED):
        add_release(home, number)
    write_release(home / "releases", TWIN, holdout="last")
    folder = home / "evaluations" / str(TWIN)
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(record().model_copy(update={"release": TWIN}).model_dump_json())
    passed = Check(name=f"files {HOSTILE}", passed=True, value=0.5, bound=0.25, message=f"whole {HOSTILE}")
    failed = Check(name="metrics: ndcg@10 beside live", passed=False, message=f"worse {HOSTILE}")
    write(home, Verdict(release=GOOD, live=LIVE, evaluated=None, passed=True, checks=(passed,)))
    refused = Verdict(
        release=REFUSED, live=LIVE, evaluated=None, passed=False, checks=(passed, failed), not_run=("replay", "load")
    )
    write(home, refused)
    promote(str(home), BEFORE)
    promote(str(home), LIVE)
    (home / "releases" / str(BROKEN)).mkdir()
    (home / "releases" / str(BROKEN) / "manifest.json").write_text(f'{{"number": "{HOSTILE}"}}')
