"""``winnow plan``: the guide's commands and output, JSON, and errors."""

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.support.paths import ROOT
from winnow.cli.app import commands
from winnow.errors import WinnowError
from winnow.planning import overrides, rules, units

GUIDE = (ROOT / "docs/capacity.md").read_text()
COMMANDS = [
    line
    for block in re.findall(r"^```bash\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]


def run(*arguments: str) -> str:
    """The output of ``winnow plan``; raises its error."""
    done = CliRunner().invoke(commands, ["plan", *arguments], env={"COLUMNS": "200"})
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def squeezed(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_the_guides_commands_print_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(COMMANDS) == 2
    outputs = [run(*shlex.split(command)[2:]) for command in COMMANDS]
    shown = re.search(r"^```text\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    assert shown
    printed = squeezed(outputs[0])
    missing = [line for line in squeezed(shown[1]) if line not in printed]
    assert missing == [], f"docs/capacity.md shows other figures than the command prints: {printed}"
    assert {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()} == {
        overrides.TFVARS,
        overrides.NODE_POOLS,
        overrides.CHAIN,
        overrides.OVERLAY / "kustomization.yaml",
        overrides.OVERLAY / "chain/kustomization.yaml",
    }


def test_every_option_is_in_the_guide() -> None:
    described = set(re.findall(r"`(--[a-z]+)", GUIDE))
    [command] = [each for each in commands.registered_commands if each.callback and each.callback.__name__ == "plan"]
    assert command.callback
    options = {f"--{name}" for name in command.callback.__annotations__ if name not in ("return", "as_json")}
    assert options | {"--json"} == described


def test_the_json_has_figures_costs_rules_units_and_prices() -> None:
    found = json.loads(run("--users=1000", "--items=5", "--rps=1", "--modalities=none", "--json"))
    assert found["cells"] == 1
    assert found["monthly"] == pytest.approx(sum(cost["value"] for cost in found["costs"]))
    assert {"region", "as_of", "note"} == set(found["prices"])
    assert set(found["rules"]) == set(rules.ALL)
    used = {name for figure in found["figures"] for name in figure["units"]}
    assert set(found["units"]) == used
    assert found["units"]["redis_user_bytes"]["how"] == units.load().redis_user_bytes.how
    assert [form["chosen"] for form in found["search"]].count(True) == 1


def test_cells_and_limits_are_printed() -> None:
    printed = run("--users=500000000", "--items=200000000", "--rps=100000")
    assert re.search(r"^limit the busiest stream takes", printed, re.MULTILINE)
    assert re.search(r"^\d+ cells, each with one of \d+ parts of the catalog: ", printed, re.MULTILINE)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--users=-1", "--users: must be from 0 to"),
        ("--index=hnsw", "--index: 'hnsw' is none of auto, exact, approximate, milvus"),
        ("--modalities=text,video", "--modalities: 'video' is none of text, image, audio"),
        ("--prices=absent.yaml", "absent.yaml: cannot be read"),
        ("--units=absent.yaml", "absent.yaml: cannot be read"),
    ],
)
def test_a_wrong_option_is_named(argument: str, message: str) -> None:
    with pytest.raises(WinnowError, match=re.escape(message)):
        run("--users=10", "--items=10", "--rps=1", argument)
