"""Record a command's terminal output as an SVG: ``python docs/record.py OUT.svg COMMAND [ARGUMENT ...]``.

``docs/terminal.svg`` is ``python docs/record.py docs/terminal.svg winnow recommend u00042`` while ``make demo`` serves.
"""

import inspect
import os
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 100


def main() -> None:
    """Run the command and write the SVG."""
    out, *command = sys.argv[1:]
    shown = " ".join(command)
    program = Path(sys.executable).with_name(command[0])
    command[0] = str(program) if program.exists() else command[0]
    environment = os.environ | {"COLUMNS": str(WIDTH), "FORCE_COLOR": "1"}
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout  # noqa: S603
    console = Console(record=True, width=WIDTH, file=StringIO())
    console.print(Text.from_ansi(f"$ {shown}\n{output.rstrip()}"))
    # The fonts of the reader's machine, instead of fonts from a server.
    template = inspect.signature(Console.export_svg).parameters["code_format"].default
    template = re.sub(r"@font-face \{\{.*?\}\}", "", template, flags=re.DOTALL)
    svg = console.export_svg(title=shown, code_format=template, unique_id="terminal")
    Path(out).write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n")


if __name__ == "__main__":
    main()
