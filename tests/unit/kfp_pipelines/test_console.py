"""Lines that a step shows reach the terminal of a local run, and only these."""

import io

import pytest

from kfp_pipelines.console import StepConsole, show


def test_a_shown_line_reaches_the_terminal_and_a_printed_one_the_log_alone(capsys: pytest.CaptureFixture[str]) -> None:
    show("7 pictures skipped", "2 sounds skipped")
    log, terminal = io.StringIO(), io.StringIO()
    console = StepConsole(log, terminal)
    # kfp indents a step's output.
    console.write("".join(f"    {line}\n" for line in [*capsys.readouterr().out.splitlines(), "a line of a library"]))
    assert terminal.getvalue() == "  7 pictures skipped\n  2 sounds skipped\n"
    assert log.getvalue().endswith("a line of a library\n")


def test_a_file_gets_a_line_of_a_bar_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("kfp_pipelines.console.time.monotonic", lambda: now[0])
    terminal = io.StringIO()
    console = StepConsole(io.StringIO(), terminal)
    for second in range(100):
        now[0] = float(second)
        console.write(f"    encoders:  {second:2}%|██▎       | {2 * second}/200 [00:{second:02}<00:50, 2 steps/s]\r")
    assert terminal.getvalue().splitlines() == [
        f"  encoders:  {second}% {2 * second}/200 [00:{second:02}<00:50, 2 steps/s]" for second in (30, 60, 90)
    ]
