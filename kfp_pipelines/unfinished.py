"""The unfinished build of a home: its arguments, and the steps that are done.

The finished steps are entries of kfp's own cache of task outputs, keyed by a step's source, image and arguments. The
cache is kept for one build only, together with what its key leaves out: the library's code and the data's files.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePath

from pydantic import BaseModel, ConfigDict

import export
import kfp_pipelines
import winnow
from winnow.datasets.fingerprint import fingerprint
from winnow.errors import WinnowError


class Started(BaseModel):
    """The inputs of a build.

    Attributes:
        pipeline: its name.
        arguments: parameter -> value.
        code: digest of the code that it ran.
        data: fingerprint of its data (:mod:`winnow.datasets.fingerprint`).
        at: start time, for the message.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pipeline: str
    arguments: dict[str, str | int]
    code: str
    data: str
    at: str

    @classmethod
    def now(cls, pipeline: str, arguments: Mapping[str, str | int]) -> "Started":
        """The inputs of a build that starts now."""
        return cls(
            pipeline=pipeline,
            arguments=dict(arguments),
            code=_code(),
            data=fingerprint(str(arguments.get("data", ""))),
            at=f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC",
        )


class Unfinished:
    """The unfinished build under a folder.

    Args:
        folder: holds ``started.json`` and ``steps/``, kfp's cache.
    """

    def __init__(self, folder: Path) -> None:
        self._started = folder / "started.json"
        self._folder = folder
        self.steps = folder / "steps"

    def begin(self, started: Started) -> None:
        """Forget the previous build, and record this one."""
        self.end()
        self.steps.mkdir(parents=True)
        self._started.write_text(started.model_dump_json(indent=1), encoding="utf-8")

    def resume(self, started: Started) -> str:
        """Check that the unfinished build has the inputs of ``started``.

        Returns:
            Which build continues after which step, for the user.

        Raises:
            WinnowError: there is no unfinished build, or its inputs differ.
        """
        try:
            before = Started.model_validate_json(self._started.read_bytes())
        except FileNotFoundError:
            raise WinnowError(
                "--resume: no build of this home is unfinished; build without --resume to start one"
            ) from None
        if different := _difference(before, started):
            raise WinnowError(
                f"--resume: the unfinished build of {before.at} differs: {different}; give the same options as then, "
                "or build without --resume to start anew"
            )
        done = self.done()
        return f"the build of {before.at} continues " + (
            f"after its step {done[-1]}" if done else "from its first step"
        )

    def done(self) -> list[str]:
        """The finished steps, in the order in which they finished."""
        entries = sorted(self.steps.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        return [step for entry in entries if (step := _step(json.loads(entry.read_bytes())))]

    def end(self) -> None:
        """Forget the build."""
        if self._folder.exists():
            shutil.rmtree(self._folder)


def _step(outputs: Mapping[str, object]) -> str:
    """The step of a cache entry, whose artefacts are at ``…/STEP/OUTPUT``; empty where it has none."""
    for output in outputs.values():
        if isinstance(output, dict) and "uri" in output:
            return PurePath(output["uri"]).parent.name
    return ""


def _difference(before: Started, now: Started) -> str:
    if before.pipeline != now.pipeline:
        return f"it ran {before.pipeline}"
    for name in sorted(before.arguments.keys() | now.arguments.keys()):
        one, other = before.arguments.get(name), now.arguments.get(name)
        if one != other:
            return f"it had {name} {one!r}, not {other!r}"
    if before.data != now.data:
        return f"files of {now.arguments['data']} have changed since"
    return "Winnow's code has changed since" if before.code != now.code else ""


def _code() -> str:
    digest = hashlib.sha256()
    for package in (winnow, export, kfp_pipelines):
        for path in sorted(Path(package.__path__[0]).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
