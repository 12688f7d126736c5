"""The README's commands and code do what it says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.paths import ROOT
from winnow.datasets.canonical.spec import DatasetSpec
from winnow.encoders.settings import EncoderSettings

README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def at(text: str, served) -> str:
    """The text with the running stack's ports."""
    return text.replace("localhost:8080", f"127.0.0.1:{served.ports.http}").replace(
        "localhost:8081", f"127.0.0.1:{served.ports.grpc}"
    )


def test_its_curl_commands(served) -> None:
    joined = [block.replace("\\\n", "") for block in blocks("bash")]
    commands = [line for block in joined for line in block.splitlines() if line.startswith("curl")]
    assert len(commands) == 12
    for command in commands:
        answered = subprocess.run(["bash", "-c", at(command, served)], check=True, capture_output=True, text=True)
        assert '"predictions"' in answered.stdout, answered.stdout


def test_its_python(served) -> None:
    code = blocks("python")
    assert len(code) == 2
    for each in code:
        printed = subprocess.run([sys.executable, "-c", at(each, served)], check=True, capture_output=True, text=True)
        assert "i00" in printed.stdout


def test_its_dataset_yaml() -> None:
    dataset, encoders = blocks("yaml")
    assert EncoderSettings.parse(encoders, "README.md").text is not None
    spec = DatasetSpec.model_validate(yaml.safe_load(dataset))
    assert spec.conversions == ("purchase",)


@pytest.mark.parametrize("command", [line for block in blocks("bash") for line in block.splitlines() if "kfp " in line])
def test_its_kfp_commands(command: str, tmp_path: Path) -> None:
    script = command.replace("kfp ", f"{Path(sys.executable).with_name('kfp')} ", 1)
    script = re.sub(r"--output (\S+)", rf"--output {tmp_path}/\1", script)
    subprocess.run(["bash", "-c", script], check=True, cwd=ROOT, capture_output=True)
    assert list(tmp_path.glob("*.yaml"))


def test_its_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`?make ([a-z]+)`?", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_its_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\((?!http|#)([^)#]+)", README):
        assert (ROOT / link).exists(), link


def test_reference_links_lead_somewhere() -> None:
    defined = dict(re.findall(r"^\[([^\]]+)\]: (\S+)$", README, re.MULTILINE))
    assert defined
    for name, link in defined.items():
        assert (ROOT / link).exists(), link
        assert re.search(rf"\]\[{name}\]|\[{name}\]\[\]", README), name


def test_the_contents_list_every_heading() -> None:
    headings = re.findall(r"^## (.+)$", README, re.MULTILINE)
    anchors = {re.sub(r"[^a-z -]", "", heading.lower()).replace(" ", "-"): heading for heading in headings}
    assert re.findall(r"^- \[(.+)\]\(#(.+)\)$", README, re.MULTILINE) == [(text, to) for to, text in anchors.items()]


def test_where_to_look_names_what_its_files_define() -> None:
    defined = dict(re.findall(r"^\[([^\]]+)\]: (\S+)$", README, re.MULTILINE))
    rows = re.findall(r"^\| .+ \| \[`(.+)`\]\[(.+)\] \| (the line with )?`(\w+)` \|$", README, re.MULTILINE)
    assert len(rows) == 8
    for shown, name, used, symbol in rows:
        assert defined[name] == shown
        place = rf"\b{symbol}\b" if used else rf"def {symbol}\(|^ +{symbol}=\("
        assert re.search(place, (ROOT / shown).read_text(), re.MULTILINE), f"{shown} does not have {symbol}"


def test_lines_fit_a_screen() -> None:
    assert [line for line in README.splitlines() if len(line) >= 120] == []
