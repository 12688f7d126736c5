"""``winnow`` commands as processes of their own: what they import and compute is not the explorer's memory."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from winnow.errors import WinnowError

MAX_OUTPUT_BYTES = 8 << 20
"""Of a command. A report is below one megabyte."""

_CHUNK = 1 << 16


class Done(NamedTuple):
    """An ended command.

    Attributes:
        code: its exit code.
        output: what it printed.
        errors: what it wrote to standard error.
    """

    code: int
    output: bytes
    errors: str


def command_line(*arguments: str) -> list[str]:
    """The ``winnow`` command of this installation with arguments.

    -P: a folder in the working directory must not shadow an installed package.
    """
    return [sys.executable, "-P", "-c", "from winnow.cli.app import app; app()", *arguments]


def environment(home: Path) -> dict[str, str]:
    """The environment of a command about a home: plain text, wide enough for its tables."""
    return {**os.environ, "WINNOW_HOME": str(home), "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "160"}


async def run(command: list[str], home: Path, timeout_s: float) -> Done:
    """Run a command to its end.

    Args:
        command: with its arguments.
        home: WINNOW_HOME.
        timeout_s: seconds after which it is ended.

    Raises:
        WinnowError: it did not end in time, or printed more than :data:`MAX_OUTPUT_BYTES`.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(home),
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(timeout_s):
            output, errors = await asyncio.gather(_read(process.stdout), _read(process.stderr))
            code = await process.wait()
    except TimeoutError:
        raise WinnowError(f"it did not end within {timeout_s:.0f} s, and was stopped: try again later") from None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    return Done(code, output, errors.decode(errors="replace"))


async def _read(stream: asyncio.StreamReader) -> bytes:
    content = bytearray()
    while part := await stream.read(_CHUNK):
        content += part
        if len(content) > MAX_OUTPUT_BYTES:
            raise WinnowError(f"it printed more than {MAX_OUTPUT_BYTES >> 20} MiB, and was stopped")
    return bytes(content)
