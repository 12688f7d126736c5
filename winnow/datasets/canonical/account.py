"""The account of an ingestion (decisions and left-out rows), for the console and as ``ingest.json``."""

import json
from dataclasses import dataclass
from pathlib import Path

from winnow.datasets.canonical.report import Problem

FILE = "ingest.json"


@dataclass(frozen=True)
class Account:
    """How a source became a data set.

    Attributes:
        notes: decisions that the user should know.
        rows: number of rows of the source's log.
        quarantined: number of invalid rows among them, which are left out.
        reasons: problems of these rows, with counts and examples; a row may have several.
    """

    notes: tuple[str, ...] = ()
    rows: int = 0
    quarantined: int = 0
    reasons: tuple[Problem, ...] = ()

    def lines(self) -> list[str]:
        """The lines for the console."""
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
