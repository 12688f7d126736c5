"""The account of an ingestion (decisions and left-out rows), for the console and as ``ingest.json``."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from winnow.datasets.canonical.report import Problem

FILE = "ingest.json"


@dataclass(frozen=True)
class LeftOut:
    """The rows of a table that are left out.

    Attributes:
        rows: number of rows of the source's table.
        quarantined: number of rows among them that are left out.
        reasons: why, with counts and examples; a row may have several.
    """

    rows: int = 0
    quarantined: int = 0
    reasons: tuple[Problem, ...] = ()

    def lines(self, words: str) -> list[str]:
        """The lines for the console; ``words`` name the rows."""
        if not self.quarantined:
            return []
        left_out = f"{self.quarantined:,} of {self.rows:,} {words} are left out ({FILE} has this list, too):"
        return [left_out, *map(str, self.reasons)]

    def described(self) -> dict[str, Any]:
        """The content of ``ingest.json``."""
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
        return {"rows": self.rows, "quarantined": self.quarantined, "reasons": reasons}


@dataclass(frozen=True)
class Account:
    """How a source became a data set.

    Attributes:
        notes: decisions that the user should know.
        rows: number of rows of the source's log.
        quarantined: number of invalid rows among them, which are left out.
        reasons: problems of these rows, with counts and examples; a row may have several.
        impressions: the same of the impressions; a row is a shown item.
        user_changes: id of the last change of users that was applied; empty without one.
        catalog_position: id of the last change of the catalog that the source contains; "" without one.
    """

    notes: tuple[str, ...] = ()
    rows: int = 0
    quarantined: int = 0
    reasons: tuple[Problem, ...] = ()
    impressions: LeftOut = LeftOut()
    user_changes: str = ""
    catalog_position: str = ""

    @property
    def _log(self) -> LeftOut:
        return LeftOut(self.rows, self.quarantined, self.reasons)

    def lines(self) -> list[str]:
        """The lines for the console."""
        return [*self.notes, *self._log.lines("rows of the log"), *self.impressions.lines("impressions of an item")]

    def write(self, folder: Path) -> None:
        """Write ``ingest.json``."""
        content = {"notes": self.notes, **self._log.described(), "impressions": self.impressions.described()}
        content |= {"user_changes": self.user_changes} if self.user_changes else {}
        content |= {"catalog_position": self.catalog_position} if self.catalog_position else {}
        (folder / FILE).write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


def last_user_change(folder: Path) -> str:
    """Id of the last change of users that a saved data set has; empty without one."""
    return _kept(folder, "user_changes")


def catalog_position(folder: Path) -> str:
    """Id of the last change of the catalog that a saved data set has; empty without one."""
    return _kept(folder, "catalog_position")


def _kept(folder: Path, name: str) -> str:
    path = folder / FILE
    return str(json.loads(path.read_text(encoding="utf-8")).get(name, "")) if path.exists() else ""
