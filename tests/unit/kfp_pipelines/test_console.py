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
