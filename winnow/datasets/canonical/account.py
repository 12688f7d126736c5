"""What reading a data set decided and what it left out: for the console, and as ``ingest.json`` beside the tables."""

import json
from dataclasses import dataclass
from pathlib import Path

from winnow.datasets.canonical.report import Problem

FILE = "ingest.json"


@dataclass(frozen=True)
class Account:
    """How a source became a data set.

    Attributes:
        notes: decisions that a person should know of.
        rows: of the log, as it was found.
        quarantined: how many of them were left out because something is wrong with them.
        reasons: what is wrong, each with its count and examples; a row may have several.
    """

    notes: tuple[str, ...] = ()
    rows: int = 0
    quarantined: int = 0
    reasons: tuple[Problem, ...] = ()

    def lines(self) -> list[str]:
        """For the console."""
        if not self.quarantined:
            return list(self.notes)
        left_out = f"{self.quarantined:,} of {self.rows:,} rows of the log are left out ({FILE} has this list, too):"
        return [*self.notes, left_out, *map(str, self.reasons)]

    def write(self, folder: Path) -> None:
        """Write ``ingest.json``."""
        reasons = [
            {
                "file": reason.file,
                "column": reason.column,
                "what": reason.what,
                "rows": reason.count,
                "examples": [str(example) for example in reason.examples],
            }
            for reason in self.reasons
        ]
        content = {"notes": self.notes, "rows": self.rows, "quarantined": self.quarantined, "reasons": reasons}
        (folder / FILE).write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
